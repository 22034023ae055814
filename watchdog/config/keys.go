package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// notYet are the keys of the contract that a later release brings, with what to do until then. "*" stands for a name
// of the operator's. They get a message of their own: they are no typing errors.
var notYet = map[string]string{
	"accounts":        "remove it, and guard the streams of one account only",
	"hooks":           "remove it",
	"notify":          "remove it, and alert on the metrics",
	"discover":        "remove it, and list the streams under streams",
	"drill":           "remove it",
	"sites.*.context": "remove it, and give servers and a login (creds, nkey, user or tls)",
	"sites.*.system":  "remove it",

	"streams[*].hooks":  "remove it",
	"streams[*].notify": "remove it, and alert on the metrics",
}

// secretKeys are keys that somebody may try, and which would put a secret into the file.
var secretKeys = map[string]string{
	"password": "write it into a file of its own and name that with password_file",
	"pass":     "write it into a file of its own and name that with password_file",
	"token":    "use creds, nkey, user with password_file, or tls",
	"seed":     "write it into a file of its own and name that with nkey",
	"jwt":      "write it into a file of its own and name that with creds",
}

// unknown refuses a key that is none of the fields. Its value is never shown: it may be a secret.
func (d *decoder) unknown(pair *ast.MappingValueNode, path, key string, fields map[string]int) {
	at, field := place(pair.Key), join(path, key)
	if remedy, ok := notYet[pattern(field)]; ok {
		d.addAt(at, field, "is not supported yet", remedy)
		if key == "context" { // it would have held both
			d.meant[path], d.meant[join(path, "servers")] = false, false
		}
		return
	}
	if remedy, ok := secretKeys[key]; ok && strings.HasPrefix(path, "sites.") {
		d.meant[path], d.meant[join(path, "password_file")] = false, false
		d.addAt(at, field, "would put a secret into the config", remedy)
		return
	}
	known := slices.Collect(maps.Keys(fields))
	remedy := didYouMean(key, known)
	if near := nearest(key, known); near != "" {
		d.mistyped = append(d.mistyped, join(path, near))
	}
	if rest := anyStream.ReplaceAllString(field, ""); rest != field && isField(reflect.TypeFor[Config](), rest) {
		remedy = "it holds for all streams: set " + rest + " at the top level"
	}
	d.addAt(at, field, "is not a key here", remedy)
}

var (
	anyIndex  = regexp.MustCompile(`\[\d+\]`)
	anyStream = regexp.MustCompile(`^streams\[\d+\]\.`)
	anySite   = regexp.MustCompile(`^sites\.[^.]+\.`)
)

// pattern turns a path into the form of notYet's keys.
func pattern(path string) string {
	return anySite.ReplaceAllString(anyIndex.ReplaceAllString(path, "[*]"), "sites.*.")
}

// isField tells whether a dotted path of keys leads to a field of t.
func isField(t reflect.Type, path string) bool {
	key, rest, more := strings.Cut(path, ".")
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	i, ok := fieldsOf(t)[key]
	return ok && (!more || isField(t.Field(i).Type, rest))
}
