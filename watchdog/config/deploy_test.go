package config_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

const deploy = "../../deploy"

// TestDeployedConfigs loads the configs of deploy/config as on their machines, with certificates made by the commands
// of deploy/README.md.
func TestDeployedConfigs(t *testing.T) {
	made := t.TempDir()
	sh := exec.CommandContext(t.Context(), "sh", "-euc", readmeCommands(t, "## Certificates"))
	sh.Dir = made
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("commands of the README: %v\n%s", err, out)
	}

	hashes := map[string]string{}
	for _, site := range []string{"east", "west", "eu"} {
		dir := t.TempDir()
		for from, to := range map[string]string{
			filepath.Join(deploy, "config", site+".yaml"): "understudy.yaml",
			filepath.Join(made, "ca.crt"):                 "ca.crt",
			filepath.Join(made, "wd-"+site+".crt"):        "tls.crt",
			filepath.Join(made, "wd-"+site+".key"):        "tls.key",
			"doc.go":                                      "east.creds", // any content will do
			"config.go":                                   "west.creds",
			"load.go":                                     "eu.creds",
		} {
			write(to, read(t, from))(t, dir)
		}
		write("nats-ca.crt", read(t, filepath.Join(made, "ca.crt")))(t, dir)
		c, err := config.Load(filepath.Join(dir, "understudy.yaml"))
		if err != nil {
			t.Fatalf("%s: %v", site, err)
		}
		for _, w := range c.Warnings() {
			t.Errorf("%s: warning: %v", site, w)
		}
		if c.Node != "wd-"+site {
			t.Errorf("node of %s: got %s", site, c.Node)
		}
		hashes[c.Rules().Hash()] = site
	}
	if len(hashes) != 1 {
		t.Errorf("the rules differ between the sites: %v", hashes)
	}
}

// readmeCommands returns the first block of shell commands below a heading of deploy/README.md.
func readmeCommands(t *testing.T, heading string) string {
	t.Helper()
	_, below, _ := strings.Cut(read(t, filepath.Join(deploy, "README.md")), heading+"\n")
	_, block, _ := strings.Cut(below, "```sh\n")
	commands, _, ok := strings.Cut(block, "```\n")
	if !ok {
		t.Fatalf("no commands below %q", heading)
	}
	return commands
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	check(t, err)
	return string(data)
}
