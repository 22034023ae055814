package config

import (
	"bytes"
	"strings"
)

// maxDepth is how deep mappings and lists may lie in each other; the deepest of ours is five. The YAML parser needs
// memory by the square of it: some megabytes of brackets would take all that the machine has.
const maxDepth = 50

// tooDeep returns the line, from 1, at which the nesting exceeds maxDepth, or 0. It looks at brackets and indentation
// only, before anything is parsed; what it counts too much, such as brackets in a text block, is far below the limit
// in every config.
func tooDeep(data []byte) int {
	var s nesting
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		if s.line(string(line)); s.flow+len(s.block)+s.inline > maxDepth {
			return n
		}
	}
	return 0
}

// nesting is the depth at a place in a file.
type nesting struct {
	flow   int   // open brackets
	block  []int // columns of the open block mappings and lists, rising
	inline int   // "a: b: c: d" in the line: no YAML, but the parser goes as deep before it says so
}

// line goes over one line.
func (s *nesting) line(line string) {
	s.inline = 0
	rest := strings.TrimLeft(line, " ")
	if rest == "" || rest[0] == '#' {
		return
	}
	if s.flow == 0 {
		rest = s.indent(rest, len(line)-len(rest))
	}
	s.brackets(rest)
}

// indent counts the block that begins at a column, and those that "- " and "? " open in the same line.
func (s *nesting) indent(rest string, column int) string {
	for len(s.block) > 0 && s.block[len(s.block)-1] >= column {
		s.block = s.block[:len(s.block)-1]
	}
	s.block = append(s.block, column)
	for len(rest) > 1 && (rest[0] == '-' || rest[0] == '?') && rest[1] == ' ' && len(s.block) <= maxDepth {
		inner := strings.TrimLeft(rest[1:], " ")
		column += len(rest) - len(inner)
		s.block = append(s.block, column)
		rest = inner
	}
	return rest
}

// brackets counts those outside of quotes and comments.
func (s *nesting) brackets(text string) {
	for i := 0; i < len(text) && s.flow <= maxDepth; i++ {
		switch c := text[i]; {
		case c == '[' || c == '{':
			s.flow++
		case (c == ']' || c == '}') && s.flow > 0:
			s.flow--
		case c == ':' && s.flow == 0 && strings.HasPrefix(text[i:], ": "):
			s.inline++
		case c == '#' && i > 0 && text[i-1] == ' ':
			return
		case (c == '"' || c == '\'') && beginsQuote(text[:i]):
			i += quoted(text[i:])
		}
	}
}

// beginsQuote tells whether a quote after this text opens a quoted value: elsewhere, as in "it's", it is a letter.
func beginsQuote(before string) bool {
	before = strings.TrimRight(before, " ")
	return before == "" || strings.ContainsRune("[{,:", rune(before[len(before)-1]))
}

// quoted returns how many bytes a quoted value has behind its first, if it ends in this line.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[0] == '"' && text[i] == '\\':
			i++
		case text[i] == text[0]:
			return i
		}
	}
	return 0
}
