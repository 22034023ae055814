package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/understudy-ha/understudy/"

// allowed says what each part of the product may import of the others. A part is the longest matching prefix.
var allowed = map[string][]string{
	"policy":            {},
	"policy/simulator":  {"policy"},
	"election":          {},
	"watchdog/jsapi":    {},
	"watchdog/look":     {"policy", "watchdog/jsapi"},
	"watchdog/probe":    {"policy", "watchdog/jsapi", "watchdog/look"},
	"watchdog/salvage":  {"policy", "watchdog/jsapi", "watchdog/natslab"}, // of the last one only the reader of dead stores
	"watchdog/dedup":    {"policy", "watchdog/jsapi"},
	"watchdog/failover": {"policy", "watchdog/consumers", "watchdog/dedup", "watchdog/jsapi", "watchdog/look", "watchdog/salvage"},
	"watchdog/api":      {"policy"},
	"watchdog/config":   {"policy", "election"}, // what the peers accept as a certificate
	"watchdog/natslab":  {},
	"watchdog/screen":   {},
	"watchdog":          {"policy", "election", "watchdog/api", "watchdog/config", "watchdog/failover", "watchdog/jsapi", "watchdog/probe", "watchdog/salvage"},
	"watchdog/grouplab": {"policy", "watchdog", "watchdog/api", "watchdog/config", "watchdog/natslab"},
	"watchdog/demo":     {"policy", "watchdog/api", "watchdog/grouplab", "watchdog/jsapi", "watchdog/natslab", "watchdog/salvage", "watchdog/screen"},
	"cmd/understudy":    {"policy", "watchdog", "election"}, // the errors that have exit codes of their own
	"cmd/bench":         {"policy", "watchdog"},
}

// TestImportsRunOneWay holds the arrows of the layout: cmd → watchdog → {probe, failover, api, election, policy}.
func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		rule, ok := ruleOf(from)
		if !ok {
			t.Errorf("%s has no rule here: say what it may import", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours && to != from && !permits(rule, from, to) {
				t.Errorf("%s imports %s; it may import %q", from, to, rule)
			}
		}
	}
}

func ruleOf(pkg string) ([]string, bool) {
	for p := pkg; p != "."; p = filepath.Dir(p) {
		if rule, ok := allowed[p]; ok {
			return rule, true
		}
	}
	return nil, false
}

// permits takes a rule of cmd for the whole tree below what it names, any other for the package itself; what lies
// below a part is the part's own.
func permits(rule []string, from, to string) bool {
	if strings.HasPrefix(to, from+"/") && allowed[to] == nil {
		return true
	}
	return slices.ContainsFunc(rule, func(r string) bool {
		return r == to || strings.HasPrefix(to, r+"/") && (strings.HasPrefix(from, "cmd/") || allowed[to] == nil)
	})
}

// TestTopLevel holds the top level: five folders, and a handful of files.
func TestTopLevel(t *testing.T) {
	want := []string{"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "cmd", "deploy", "election",
		"go.mod", "go.sum", "policy", "watchdog"}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !slices.Contains(want, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
