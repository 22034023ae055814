package main

import (
	"io"
	"os"
	"strings"
	"unicode"
)

// paint colours words, or with false leaves them as they are: colour only ever repeats what a word says.
type paint bool

// paintFor colours for a terminal, unless the user asked for none (https://no-color.org).
func paintFor(w io.Writer) paint {
	return paint(isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p paint) in(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string { return p.in("1", s) }
func (p paint) good(s string) string { return p.in("32", s) }
func (p paint) warn(s string) string { return p.in("33", s) }
func (p paint) bad(s string) string  { return p.in("1;31", s) }

// isTerminal reports whether a person sits at the other end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err != nil || !os.SameFile(info, null)
}

// clean takes the control characters out of a text that came from elsewhere: a server's words must not be able to
// steer the reader's terminal. It becomes one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
}
