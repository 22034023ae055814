package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxShown is how many problems an error spells out: a file with more has one cause, and a screen has few lines.
const maxShown = 20

// Problem is one thing wrong, or doubtful, in a config.
type Problem struct {
	File   string `json:"file,omitempty"`   // "" when the config did not come from a file
	Line   int    `json:"line,omitempty"`   // from 1; 0 when the config was made in code
	Column int    `json:"column,omitempty"` // as Line
	Field  string `json:"field,omitempty"`  // dotted path, such as streams[0].mirrors[1].site; "" for the whole file
	Text   string `json:"text"`             // what is wrong, with the value
	Remedy string `json:"remedy"`           // what to do
}

// Error returns "file:line:column: field: text: remedy".
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(" ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Text)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Errors are the problems of one config, in the order of the file. Load, Parse, Validate, CheckFiles and CheckReload
// return it; errors.As finds it and each *Problem.
type Errors []*Problem

// Error returns one line a problem, at most twenty.
func (e Errors) Error() string {
	var lines []string
	for i, p := range e {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-maxShown))
			break
		}
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As every problem.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, p := range e {
		all[i] = p
	}
	return all
}

// position is a place in the file, from 1.
type position struct{ line, column int }

// source knows where each value of a parsed config stands.
type source struct {
	file string
	pos  map[string]position // by dotted path
}

// at returns where a field stands; one that is missing stands where its nearest parent does.
func (s *source) at(path string) position {
	if s == nil {
		return position{}
	}
	for {
		if p, ok := s.pos[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return s.pos[""]
		}
		path = path[:i]
	}
}

// has tells whether the file itself gives a field. Everything is given in a config made in code.
func (s *source) has(path string) bool {
	if s == nil {
		return true
	}
	_, ok := s.pos[path]
	return ok
}

// list gathers problems.
type list struct {
	src  *source
	errs Errors
}

// add notes a problem of a field.
func (l *list) add(field, text, remedy string) {
	p := &Problem{Field: field, Text: text, Remedy: remedy}
	if l.src != nil {
		at := l.src.at(field)
		p.File, p.Line, p.Column = l.src.file, at.line, at.column
	}
	l.errs = append(l.errs, p)
}

// addAt notes a problem at a place of its own, such as that of a key.
func (l *list) addAt(at position, field, text, remedy string) {
	l.add(field, text, remedy)
	last := l.errs[len(l.errs)-1]
	last.Line, last.Column = at.line, at.column
}

// sorted returns the problems in the order of the file.
func (l *list) sorted() Errors {
	slices.SortStableFunc(l.errs, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
	return l.errs
}

// err returns the problems as an error, or nil: never an empty Errors in a non-nil interface.
func (l *list) err() error {
	if len(l.errs) == 0 {
		return nil
	}
	return l.sorted()
}
