package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxBytes bounds the file: 10,000 streams need about 2 MiB.
const maxBytes = 16 << 20

// Load reads, checks and completes the config at path, and checks the files that it names. Relative file names in it
// are taken from the folder of path. A config with mistakes gives Errors.
func Load(path string) (*Config, error) {
	c, err := Read(path)
	if err != nil {
		return nil, err
	}
	if err := c.CheckFiles(); err != nil {
		return nil, err
	}
	return c, nil
}

// Read is Load without a look at the files that the config names: for commands that only talk to a running watchdog,
// whose user may not read its secrets, and for a check on another machine.
func Read(path string) (*Config, error) {
	abs, data, err := readFileOf(path)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, err)
	}
	return parse(data, filepath.Dir(abs), path)
}

// readFileOf returns the absolute name and the content of a config file, or of a larger one as much as tells that. A
// pipe or a device is not opened: it might never end, or never begin.
func readFileOf(path string) (abs string, data []byte, err error) {
	if abs, err = filepath.Abs(path); err != nil {
		return "", nil, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errors.New("it is not a regular file: write the config into one")
	}
	f, err := os.Open(abs)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
	return abs, data, err
}

// Parse is Read for a config in memory. Relative file names are taken from dir.
func Parse(data []byte, dir string) (*Config, error) { return parse(data, dir, "") }

// parse decodes and validates. Both run even when the first finds mistakes, so that one call shows all of them.
func parse(data []byte, dir, file string) (*Config, error) {
	d := &decoder{
		list:  list{src: &source{file: file, pos: map[string]position{"": {1, 1}}}},
		meant: map[string]bool{},
	}
	body, ok := d.tree(data)
	if !ok {
		return nil, d.err()
	}
	c := Defaults()
	c.src = d.src
	d.proto = c.stream
	d.value(body, "", reflect.ValueOf(&c).Elem())
	c.resolve(dir)

	for _, field := range d.mistyped {
		if !d.src.has(field) {
			d.meant[field] = true // it is not missing, but misspelled
		}
	}
	for _, p := range c.problems() {
		if !d.told(p.Field) {
			d.errs = append(d.errs, p)
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// tree parses the YAML of exactly one document.
func (d *decoder) tree(data []byte) (body ast.Node, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin a file with it
	if len(data) > maxBytes {
		d.add("", fmt.Sprintf("the file has more than %d bytes", maxBytes), "keep it below that")
		return nil, false
	}
	if line := tooDeep(data); line > 0 {
		d.addAt(position{line, 1}, "", fmt.Sprintf("mappings and lists lie more than %d levels deep in each other", maxDepth),
			"no setting needs more than five; close the brackets, and mind the indentation")
		return nil, false
	}
	f, err := parseYAML(data)
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	var bodies []ast.Node
	for _, doc := range f.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.add("", "the file is empty", "start with node, peers, sites and streams")
		return nil, false
	case len(bodies) > 1:
		d.addAt(place(bodies[1]), "", "the file has more than one YAML document", "keep one")
		return nil, false
	}
	return bodies[0], true
}

// parseYAML turns a panic of the library into an error: a config that is being reloaded must never stop the node.
func parseYAML(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser failed: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // duplicates get a message of our own
}

// syntax notes what the YAML parser did not like. Its message is used without the lines that it quotes from the
// file.
func (d *decoder) syntax(err error) {
	text, at := err.Error(), position{1, 1}
	var located yaml.Error
	if errors.As(err, &located) {
		text = located.GetMessage()
		if tk := located.GetToken(); tk != nil && tk.Position != nil {
			at = position{tk.Position.Line, tk.Position.Column}
		}
	}
	d.addAt(at, "", "not valid YAML: "+text, "mind the indentation (spaces, no tabs), colons and quotes")
}

// resolve makes every file name absolute.
func (c *Config) resolve(dir string) {
	for _, f := range c.TLS.files("tls") {
		*f.name = resolve(dir, *f.name)
	}
	for name, s := range c.Sites {
		for _, f := range s.files("") {
			*f.name = resolve(dir, *f.name)
		}
		c.Sites[name] = s
	}
	c.DataDir = resolve(dir, c.DataDir)
	if path, ok := strings.CutPrefix(c.Admin.Listen, unixPrefix); ok {
		c.Admin.Listen = unixPrefix + resolve(dir, path)
	}
}

func resolve(dir, name string) string {
	if name == "" || filepath.IsAbs(name) || secretInName(name) || name[0] == '@' { // the last is no file but a socket
		return name
	}
	return filepath.Join(dir, name)
}
