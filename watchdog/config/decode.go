package config

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills a Config from a YAML tree, in which it knows the place of every value. It walks the tree itself
// instead of leaving it to the library: that gives every error, not the first one, with a path and a remedy of ours.
type decoder struct {
	list
	proto func() Stream // a stream before its overrides
	// meant are the fields that a refused key or value stands for; false: itself only, true: and what is below it.
	meant    map[string]bool
	mistyped []string // fields that unknown keys look like
}

// refuse notes that a field could not be decoded.
func (d *decoder) refuse(field, text, remedy string) {
	d.meant[field] = true
	d.add(field, text, remedy)
}

// told tells whether the reason why a field is missing or wrong has been reported already.
func (d *decoder) told(field string) bool {
	if _, ok := d.meant[field]; ok || d.meant[""] {
		return true
	}
	for i := strings.LastIndexAny(field, ".["); i >= 0; i = strings.LastIndexAny(field, ".[") {
		if field = field[:i]; d.meant[field] {
			return true
		}
	}
	return false
}

// value decodes one node into v.
func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	d.src.pos[path] = place(n)
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.refuse(path, "anchors, aliases and tags are not supported", "write the value out")
		return
	case *ast.NullNode:
		d.refuse(path, "has no value", "give it one, or remove the key")
		return
	}
	switch v.Type() {
	case reflect.TypeFor[time.Duration]():
		d.duration(n, path, v)
		return
	case reflect.TypeFor[DurationOrOff]():
		d.durationOrOff(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Map:
		d.dict(n, path, v)
	case reflect.Slice:
		d.sequence(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// structure decodes a mapping whose keys are the yaml tags of a struct.
func (d *decoder) structure(n ast.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	var last *ast.MappingValueNode // streams start from the settings beside them: those have to be read first
	for key, pair := range d.pairs(n, path) {
		i, ok := fields[key]
		switch {
		case !ok:
			d.unknown(pair, path, key, fields)
		case v.Type().Field(i).Type == reflect.TypeFor[[]Stream]():
			last = pair
		default:
			d.value(pair.Value, join(path, key), v.Field(i))
		}
	}
	if last != nil {
		key := last.Key.GetToken().Value
		d.value(last.Value, join(path, key), v.Field(fields[key]))
	}
}

// dict decodes a mapping whose keys are names of the operator's.
func (d *decoder) dict(n ast.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for key, pair := range d.pairs(n, path) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.Value, join(path, key), elem)
		d.src.pos[join(path, key)] = place(pair.Key)
		v.SetMapIndex(reflect.ValueOf(key), elem)
	}
}

// sequence decodes a list.
func (d *decoder) sequence(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongType(n, path, "a list")
		return
	}
	all := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		elem := all.Index(i)
		if s, ok := elem.Addr().Interface().(*Stream); ok {
			*s = d.proto()
		}
		d.value(item, path+"["+strconv.Itoa(i)+"]", elem)
	}
	v.Set(all)
}

// pairs yields the keys and values of a mapping, and refuses a key that is given twice.
func (d *decoder) pairs(n ast.Node, path string) func(yield func(string, *ast.MappingValueNode) bool) {
	return func(yield func(string, *ast.MappingValueNode) bool) {
		m, ok := n.(*ast.MappingNode)
		if !ok {
			d.wrongType(n, path, "a mapping of keys to values")
			return
		}
		seen := map[string]position{}
		for _, pair := range m.Values {
			key, at := pair.Key.GetToken().Value, place(pair.Key)
			if !plainKey(pair.Key) {
				d.addAt(at, path, "has a key that is not a plain word", "write key: value")
				continue
			}
			if first, twice := seen[key]; twice {
				d.addAt(at, join(path, key), fmt.Sprintf("is given twice, first in line %d", first.line),
					"remove one of the two")
				continue
			}
			seen[key] = at
			if !yield(key, pair) {
				return
			}
		}
	}
}

// scalar decodes a string or a number.
func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		switch s := n.(type) {
		case *ast.StringNode:
			v.SetString(s.Value)
		case *ast.LiteralNode:
			v.SetString(s.Value.Value)
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			d.refuse(path, shown(n)+" is not text", "put it into quotes")
		default:
			d.wrongType(n, path, "text")
		}
	case reflect.Int:
		if d.notDecimal(n, path) {
			return
		}
		if i, ok := integer(n); ok && i >= math.MinInt32 && i <= math.MaxInt32 {
			v.SetInt(i)
			return
		}
		d.wrongType(n, path, "a whole number of at most nine digits")
	case reflect.Uint64:
		if d.notDecimal(n, path) {
			return
		}
		if i, ok := integer(n); ok && i >= 0 {
			v.SetUint(uint64(i))
			return
		}
		d.wrongType(n, path, "a whole number that is not negative")
	default:
		panic("config: no decoder for " + v.Type().String()) // a field of ours: every test would meet it
	}
}

func (d *decoder) wrongType(n ast.Node, path, want string) {
	d.refuse(path, shown(n)+" does not fit", "give "+want)
}

// integer returns the value of a whole number.
func integer(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		return int64(x), x <= math.MaxInt64
	}
	return 0, false
}

// decimal is the only way to write a number in which everybody reads the same: YAML takes 010 for 8.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// notDecimal refuses a whole number that is written otherwise.
func (d *decoder) notDecimal(n ast.Node, path string) bool {
	if _, ok := n.(*ast.IntegerNode); !ok || decimal.MatchString(n.GetToken().Value) {
		return false
	}
	d.refuse(path, shown(n)+" is not a plain decimal number", "write decimal digits only, without a leading 0, + or _")
	return true
}

// shown describes a value in a message.
func shown(n ast.Node) string {
	switch x := n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return quote(x.Value)
	case *ast.LiteralNode:
		return "a text block"
	}
	return quote(n.GetToken().Value)
}

// place returns where a node begins. A block mapping's own token is its first colon, so its first key stands for it.
func place(n ast.Node) position {
	switch x := n.(type) {
	case *ast.MappingNode:
		if len(x.Values) > 0 && !x.IsFlowStyle {
			return place(x.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return place(x.Key)
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

// plainKey tells a word from a merge key and from the keys of "? key" notation.
func plainKey(k ast.MapKeyNode) bool {
	switch k.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return true
	}
	return false
}

// fieldsOf returns the index of each field by its key in the file.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" {
			fields[key] = i
		}
	}
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
