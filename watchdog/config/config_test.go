package config_test

import (
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

const sample = `
node: wd-east
data_dir: data
peers:
  wd-east: {addr: "east.example.net:7422", site: east}
  wd-west: {addr: "west.example.net:7422", site: west}
  wd-eu:   {addr: "eu.example.net:7422",   site: eu}
bind: "0.0.0.0:7422"
tls:   {cert: tls.crt, key: tls.key, ca: ca.crt}
sites:
  east: {servers: ["nats://east.example.net:4222"], creds: east.creds, domain: east}
  west: {servers: ["tls://west.example.net"], user: u, password_file: west.pw, domain: west}
  eu:   {servers: ["nats://eu.example.net:4222"], tls: {cert: eu.crt, key: eu.key, ca: ca.crt}}
streams:
  - name: EVENTS
    origin:  {site: east, stream: EVENTS}
    mirrors:
      - {site: west, stream: EVENTS_W, priority: 10}
      - {site: eu,   stream: EVENTS_EU, promote: never}
    mode: unattended
    outage: {after: 30s}
    account: BILLING
outage: {after: 1m}
`

func TestShow(t *testing.T) {
	c, err := config.Parse([]byte(sample), "/etc/understudy")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	t.Log(b.String())
	n, err := config.Parse([]byte(b.String()), "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if n.Rules().Hash() != c.Rules().Hash() {
		t.Error("differ")
	}
	b.Reset()
	c.ShowJSON(&b)
	t.Log(b.String())
	t.Log(c.Warnings())
	_, err = config.Parse([]byte("node: [1]\nnod: x\nnode: y\npeers: {a: {addr: x, site: 1}}\nprobe: {every: 5}\nstreams:\n  - {name: A, orgin: {}, cooldwn: 1, brake: {}}\n  - {name: A, mirrors: [{site: est}], fence: {after: 1s}}\nsites: {east: {context: x, password: geheim, servers: ['nats://a:b@c']}}\n"), ".")
	t.Log(err)
}
