package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// DurationOrOff is a duration that the file may also switch off: 0 is written as off.
type DurationOrOff time.Duration

// off is how the file writes a DurationOrOff of 0.
const off = "off"

// String returns off, or the duration as Show writes it.
func (d DurationOrOff) String() string {
	if d == 0 {
		return off
	}
	return short(time.Duration(d))
}

const asDuration = `a number and its unit, such as "750ms", "30s", "2m" or "1h"`

// duration decodes a Go duration. A bare number is refused: it could be seconds or milliseconds.
func (d *decoder) duration(n ast.Node, path string, v reflect.Value) {
	d.span(n, path, v, "write "+asDuration)
}

// durationOrOff decodes a DurationOrOff. An "0s" is refused: it may be meant as "at once".
func (d *decoder) durationOrOff(n ast.Node, path string, v reflect.Value) {
	const remedy = "write off, or " + asDuration
	if s, ok := n.(*ast.StringNode); ok && s.Value == off {
		v.SetInt(0)
		return
	}
	if d.span(n, path, v, remedy) && v.Int() == 0 {
		d.refuse(path, shown(n)+" is no span of time", remedy)
	}
}

// span decodes a duration that is not negative, and tells whether it is one.
func (d *decoder) span(n ast.Node, path string, v reflect.Value, remedy string) bool {
	s, ok := n.(*ast.StringNode)
	if !ok {
		text := shown(n) + " is not a duration"
		if _, number := integer(n); number {
			text = shown(n) + " has no unit"
		}
		d.refuse(path, text, remedy)
		return false
	}
	dur, err := time.ParseDuration(s.Value)
	if err != nil {
		d.refuse(path, quote(s.Value)+" is not a duration", remedy)
		return false
	}
	if dur < 0 {
		d.refuse(path, quote(s.Value)+" is negative", remedy)
		return false
	}
	v.SetInt(int64(dur))
	return true
}

// short writes a duration as a person would: 2m, not 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
