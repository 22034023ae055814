package natslab

import (
	"fmt"
	"os"
	"strings"
	"text/template"
)

// serverConfig is what one server's config file is made of.
type serverConfig struct {
	Name, Listen, StoreDir string
	Domain                 string // JetStream domain, or ""
	JetStream              bool

	Cluster, ClusterListen string // "" for a server without routes
	Routes                 []string

	GatewayListen string // "" for none
	Gateways      []gatewayRemote

	LeafListen string   // the hub's
	LeafURLs   []string // a site's way to the hub
}

// gatewayRemote is another cluster, as seen from one site.
type gatewayRemote struct {
	Name string
	URLs []string
}

// gatewayURL makes the URL of a gateway link that only its own site can use.
// Servers gossip the gateway URLs they are configured with, and a peer adds
// what it hears to its own: one site would learn another site's private link.
// The zone is ignored when dialling an IPv4 address, but makes the gossiped,
// unescaped form unparsable, so that the hearer drops it.
func gatewayURL(addr string) string {
	return "nats://" + strings.Replace(addr, "127.0.0.1", "[::ffff:127.0.0.1%25lab]", 1)
}

// unusableAddress is advertised to gateway peers in place of the real one, for
// the same reason: it cannot be parsed as a URL.
const unusableAddress = "%lab:1"

var configTemplate = template.Must(template.New("server").Parse(`
server_name: {{.Name}}
listen: "{{.Listen}}"
{{- if .JetStream}}
jetstream {
  store_dir: {{printf "%q" .StoreDir}}
  {{- if .Domain}}
  domain: {{.Domain}}
  {{- end}}
}
{{- end}}
system_account: SYS
accounts {
  APP {
    {{- if .JetStream}}
    jetstream: enabled
    {{- end}}
    users: [
      {user: "` + AppUser + `", password: {{printf "%q" .AppPassword}}}
      {user: "` + NoAPIUser + `", password: "` + noAPIPassword + `"
       permissions: {publish: {deny: ["$JS.API.>", "$JS.*.API.>"]}}}
    ]
  }
  SYS {
    users: [{user: "` + SysUser + `", password: "` + sysPassword + `"}]
  }
}
{{- if .Cluster}}
cluster {
  name: {{.Cluster}}
  listen: "{{.ClusterListen}}"
  no_advertise: true
  routes: [{{range .Routes}}
    "nats://{{.}}"{{end}}
  ]
}
{{- end}}
{{- if .GatewayListen}}
gateway {
  name: {{.Cluster}}
  listen: "{{.GatewayListen}}"
  advertise: "` + unusableAddress + `"
  reject_unknown_cluster: true
  gateways: [
    {{- range .Gateways}}
    {name: {{.Name}}, urls: [{{range .URLs}}
      "{{.}}"{{end}}
    ]}
    {{- end}}
  ]
}
{{- end}}
{{- if .LeafListen}}
leafnodes {
  listen: "{{.LeafListen}}"
  no_advertise: true
  authorization {user: leaf, password: leaf, account: APP}
}
{{- end}}
{{- if .LeafURLs}}
leafnodes {
  reconnect: 1
  remotes: [{account: APP, urls: [{{range .LeafURLs}}
    "nats-leaf://leaf:leaf@{{.}}"{{end}}
  ]}]
}
{{- end}}
`))

// write renders the config, with the application's password, into a file.
func (c serverConfig) write(file, password string) error {
	var b strings.Builder
	view := struct {
		serverConfig
		AppPassword string
	}{c, password}
	if err := configTemplate.Execute(&b, view); err != nil {
		return fmt.Errorf("render the config of %s: %w", c.Name, err)
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}
