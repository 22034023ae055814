// Package api is how a watchdog is asked and told: health, metrics and the read-only API over HTTP, and the same with
// commands on the admin socket.
//
// It owns the paths, the JSON and the client for them. It must not decide anything: what it serves comes from a Source
// and what it is told goes to a Commander, both of which the service implements. No path outside the admin socket
// changes anything.
//
// Start reading at types.go (what is said), then handler.go (under which path), then client.go.
package api
