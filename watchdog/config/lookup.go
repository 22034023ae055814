package config

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// AdminSocketIn finds the admin socket in the config at path, whatever else is wrong there: a command of an emergency
// must not wait until somebody has found a typing error. Where the config does not tell, it is the default one. The
// error is that of Read; unless it is an Errors, nothing could be read, and the socket is "".
func AdminSocketIn(path string) (string, error) {
	c, err := Read(path)
	if err == nil {
		return c.AdminSocket(), nil
	}
	var mistakes Errors
	if !errors.As(err, &mistakes) {
		return "", err
	}
	defaults := Defaults()
	socket := defaults.AdminSocket()
	abs, data, again := readFileOf(path)
	if again != nil {
		return "", again
	}
	if given, ok := adminListen(data); ok {
		socket = resolve(filepath.Dir(abs), given)
	}
	return socket, err
}

// adminListen finds the path in admin.listen, the only thing that it looks at.
func adminListen(data []byte) (string, bool) {
	d := &decoder{list: list{src: &source{}}, meant: map[string]bool{}}
	node, ok := d.tree(data)
	for _, key := range []string{"admin", "listen"} {
		if node = child(node, key); node == nil {
			ok = false
		}
	}
	text, isText := node.(*ast.StringNode)
	if !ok || !isText {
		return "", false
	}
	path, ok := strings.CutPrefix(text.Value, unixPrefix)
	return path, ok && path != ""
}

// child returns the value of a key, or nil.
func child(n ast.Node, key string) ast.Node {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil
	}
	for _, pair := range m.Values {
		if plainKey(pair.Key) && pair.Key.GetToken().Value == key {
			return pair.Value
		}
	}
	return nil
}
