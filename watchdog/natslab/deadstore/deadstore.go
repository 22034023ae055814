// Package deadstore opens copies of the store folders of dead nats-servers, so
// that their messages can be read, the unreplicated tail included.
//
// A standalone server in this process, which listens nowhere, opens each copy.
// The store of a clustered server is made fit for that first: see standalone.go
// for what is edited, and tail.go for the messages that a killed server had
// acknowledged but not yet written to the stream itself. It knows the server's
// file formats as of nats-server 2.15. Stores that are encrypted cannot be
// opened. Start reading at Open.
package deadstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoSuchStream is returned when no copy holds a stream.
var ErrNoSuchStream = errors.New("no such stream in the store")

// defaultPatience bounds the opening of one copy when the context has no
// deadline.
const defaultPatience = time.Minute

// Store is a set of opened copies: the stores of one site's servers.
type Store struct {
	copies []*storeCopy
}

// storeCopy is one opened folder.
type storeCopy struct {
	srv *server.Server
	nc  *nats.Conn
	js  jetstream.JetStream
}

// Open opens copies of the folders that servers had as their store_dir, for one
// account. It writes into them: never give it a folder that a server is to use
// again. Close ends it.
func Open(ctx context.Context, account string, dirs ...string) (*Store, error) {
	s := &Store{}
	for _, dir := range dirs {
		c, err := open(ctx, account, dir)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open the store copy %s: %w", dir, err)
		}
		s.copies = append(s.copies, c)
	}
	return s, nil
}

// open prepares a folder and opens it. When the raft logs hold messages that the
// streams lack, those are added and the folder is opened again.
func open(ctx context.Context, account, dir string) (*storeCopy, error) {
	if err := makeStandalone(dir, account); err != nil {
		return nil, err
	}
	c, err := serve(ctx, account, dir)
	if err != nil {
		return nil, err
	}
	ends, err := c.ends(ctx)
	if err != nil {
		c.close()
		return nil, err
	}
	tails, err := findTails(dir, ends)
	if err == nil && len(tails) == 0 {
		return c, nil
	}
	c.close()
	if err != nil {
		return nil, err
	}
	for _, t := range tails {
		if err := t.write(dir, account); err != nil {
			return nil, fmt.Errorf("add %d logged messages to %s: %w", len(t.msgs), t.stream, err)
		}
	}
	return serve(ctx, account, dir)
}

// serve runs the standalone server on a folder and connects to it.
func serve(ctx context.Context, account, dir string) (*storeCopy, error) {
	conf := filepath.Join(dir, "deadstore.conf")
	login := fmt.Sprintf("accounts {%q: {jetstream: enabled, users: [{user: reader, password: reader}]}}", account)
	if account == server.DEFAULT_GLOBAL_ACCOUNT { // of servers without accounts; it may not be named in a config
		login = "authorization {user: reader, password: reader}"
	}
	text := fmt.Sprintf("server_name: deadstore\njetstream {store_dir: %q}\n%s\n", dir, login)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		return nil, err
	}
	opts.DontListen, opts.NoSigs, opts.NoLog = true, true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	srv.Start()
	c := &storeCopy{srv: srv}
	if err := c.connect(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *storeCopy) connect(ctx context.Context) error {
	patience := defaultPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	if !c.srv.ReadyForConnections(patience) {
		return errors.New("the standalone server did not become ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(c.srv), nats.UserInfo("reader", "reader"), nats.NoReconnect())
	if err != nil {
		return err
	}
	c.nc = nc
	c.js, err = jetstream.New(nc)
	return err
}

// Conns are connections to the copies, in the order of Open's folders. They end
// with Close.
func (s *Store) Conns() []*nats.Conn {
	var ncs []*nats.Conn
	for _, c := range s.copies {
		ncs = append(ncs, c.nc)
	}
	return ncs
}

// Stream finds the copy of a stream that has the highest last sequence, with the
// connection that leads to it. It returns ErrNoSuchStream when no copy holds the
// stream.
func (s *Store) Stream(ctx context.Context, name string) (jetstream.Stream, *nats.Conn, error) {
	var (
		best jetstream.Stream
		conn *nats.Conn
	)
	for _, c := range s.copies {
		st, err := c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("look up %s in the store: %w", name, err)
		}
		if best == nil || st.CachedInfo().State.LastSeq > best.CachedInfo().State.LastSeq {
			best, conn = st, c.nc
		}
	}
	if best == nil {
		return nil, nil, fmt.Errorf("look up %s: %w", name, ErrNoSuchStream)
	}
	return best, conn, nil
}

// Close ends the connections and the servers. The folders stay.
func (s *Store) Close() {
	for _, c := range s.copies {
		c.close()
	}
	s.copies = nil
}

func (c *storeCopy) close() {
	if c.nc != nil {
		c.nc.Close()
	}
	c.srv.Shutdown()
	c.srv.WaitForShutdown()
}

// ends reads where each stream of the copy ends.
func (c *storeCopy) ends(ctx context.Context) ([]end, error) {
	var ends []end
	list := c.js.ListStreams(ctx)
	for info := range list.Info() {
		ends = append(ends, end{
			stream: info.Config.Name,
			seq:    info.State.LastSeq,
			ts:     info.State.LastTime.UnixNano(),
		})
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the streams of the store: %w", err)
	}
	return ends, nil
}
