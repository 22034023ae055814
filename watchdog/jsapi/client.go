package jsapi

import "github.com/nats-io/nats.go"

// Client is the NATS client of the connection that is live now, for work that is more than one question and one answer:
// reading many messages, publishing many. It never reconnects, and ends with its connection; Conn alone closes it. Who has
// it can write, so the probe may not ask for it.
func (c *Conn) Client() (*nats.Conn, error) {
	l := c.live.Load()
	if l == nil {
		return nil, c.lost()
	}
	return l.nc, nil
}
