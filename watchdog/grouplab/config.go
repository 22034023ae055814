package grouplab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// Stream is one guarded stream of a lab.
type Stream struct {
	Name    string
	Origin  string // site; the stream bears Name there
	Mirrors map[string]string
	// Never names the sites whose mirror is not to be promoted.
	Never []string
	// Extra are further lines of the stream's config, indented by four spaces.
	Extra string
}

// Bars reports whether the mirror at a site is not to be promoted.
func (s Stream) Bars(site string) bool { return slices.Contains(s.Never, site) }

// Settings of the group's config. Zero values take the product's defaults, except where said.
type Settings struct {
	Mode  string        // default unattended
	After time.Duration // default 5s
	Every time.Duration // default 1s
	// Timeout of a probe; default three quarters of Every.
	Timeout time.Duration
	Release string
	// Extra are further top-level lines.
	Extra string
}

var configTemplate = template.Must(template.New("config").Parse(`node: {{.Node}}
data_dir: {{.Dir}}/data
mode: {{.Settings.Mode}}
bind: {{.Bind}}
peers:
{{- range .Peers}}
  {{.Name}}: {addr: "{{.Addr}}", site: {{.Site}}}
{{- end}}
http: {listen: "{{.HTTP}}"}
admin: {listen: "unix:{{.Socket}}"}
probe: {every: {{.Settings.Every}}, timeout: {{.Settings.Timeout}}}
outage: {after: {{.Settings.After}}}
release: {{.Settings.Release}}
{{.Settings.Extra}}
sites:
{{- range .Sites}}
  {{.Name}}: {servers: [{{.Servers}}], user: {{.User}}, password_file: {{.PasswordFile}}{{if .Domain}}, domain: {{.Domain}}{{end}}}
{{- end}}
streams:
{{- range $guarded := .Streams}}
  - name: {{.Name}}
    origin: {site: {{.Origin}}, stream: {{.Name}}}
    mirrors:
{{- range $site, $stream := .Mirrors}}
      - {site: {{$site}}, stream: {{$stream}}{{if $guarded.Bars $site}}, promote: never{{end}}}
{{- end}}
{{.Extra}}
{{- end}}
`))

type configPeer struct{ Name, Addr, Site string }

type configSite struct{ Name, Servers, User, PasswordFile, Domain string }

type configValues struct {
	Node, Dir, Bind, HTTP, Socket string
	Settings                      Settings
	Peers                         []configPeer
	Sites                         []configSite
	Streams                       []Stream
}

func (s Settings) withDefaults() Settings {
	if s.Mode == "" {
		s.Mode = "unattended"
	}
	if s.After == 0 {
		s.After = 5 * time.Second
	}
	if s.Every == 0 {
		s.Every = time.Second
	}
	if s.Timeout == 0 {
		s.Timeout = s.Every * 3 / 4
	}
	if s.Release == "" {
		s.Release = "fence"
	}
	return s
}

// writeConfig writes one watchdog's config: the sites and the peers by the links that lead there from its own site.
func (g *Group) writeConfig(d *Dog) error {
	v := configValues{Node: d.Name, Dir: d.dir, Bind: d.bind, HTTP: d.HTTP, Socket: d.Socket, Settings: g.o.Settings, Streams: g.o.Streams}
	for _, p := range g.Dogs {
		addr := p.bind
		if p.Site != d.Site {
			var err error
			if addr, err = g.lab.Link(d.Site, p.Site, p.bind); err != nil {
				return fmt.Errorf("link %s to %s: %w", d.Name, p.Name, err)
			}
		}
		v.Peers = append(v.Peers, configPeer{Name: p.Name, Addr: addr, Site: p.Site})
	}
	for _, s := range g.lab.Sites() {
		site, err := g.configSite(d, s)
		if err != nil {
			return err
		}
		v.Sites = append(v.Sites, site)
	}
	f, err := os.Create(d.ConfigFile)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := configTemplate.Execute(f, v); err != nil {
		return err
	}
	return f.Close()
}

func (g *Group) configSite(d *Dog, s *natslab.Site) (configSite, error) {
	quoted := []string{}
	for _, u := range s.URLsFrom(d.Site) {
		quoted = append(quoted, fmt.Sprintf("%q", u))
	}
	file := filepath.Join(d.dir, s.Name+".password")
	if err := os.WriteFile(file, []byte(s.Password()+"\n"), 0o600); err != nil {
		return configSite{}, err
	}
	return configSite{Name: s.Name, Servers: strings.Join(quoted, ", "), User: s.User(), PasswordFile: file, Domain: s.Domain}, nil
}
