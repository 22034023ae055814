package api

import (
	"errors"
	"strings"
	"testing"
)

func TestURLClientAddresses(t *testing.T) {
	for addr, want := range map[string]string{ // the base of the URLs, or what the error says
		"http://wd:7424":            "http://wd:7424",
		"http://wd:7424/":           "http://wd:7424",
		"https://wd":                "https://wd",
		"wd:7424":                   "http://wd:7424",
		"10.0.0.1:7424":             "http://10.0.0.1:7424",
		"[::1]:7424":                "http://[::1]:7424",
		"":                          "names no host",
		"7424":                      "write http://HOST:7424",
		":7424":                     "names no host",
		"http://":                   "names no host",
		"http://:7424":              "names no host",
		"http://wd:7424/v1/status":  "write http://wd:7424",
		"wd:7424/v1":                "write http://wd:7424",
		"http://wd:7424?verbose":    "write http://wd:7424",
		"http://user:hunter2@wd:80": "has a login",
		"http://u:hunter2@a b":      "has a login",
		"http://wd:port":            "is not a URL",
		"http://wd:99999":           "has no port from",
		"http://a b":                "is not a URL",
		"ftp://wd:7424":             "is not a URL",
		"unix:///run/admin.sock":    "is not a URL",
		"http://wd:7424%zz":         "is not a URL",
	} {
		c, err := URLClient(addr)
		switch {
		case err == nil && c.base != want:
			t.Errorf("%q: base is %s, want %s", addr, c.base, want)
		case err != nil && (!errors.Is(err, ErrBadAddress) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: %v, want %s", addr, err, want)
		}
	}
}
