package watchdog_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// makeObjects makes an object store, and mirrors of its stream that take roll-ups once they are promoted.
func makeObjects(t *testing.T, w *world) grouplab.Stream {
	t.Helper()
	g := grouplab.Stream{Name: "OBJ_files", Origin: "east", Mirrors: map[string]string{}, Extra: "    " + afterwards + "\n"}
	a := &applications{w: w, shared: w.lab.Topology() != natslab.Domains}
	for _, site := range w.lab.Sites() {
		js := a.js(t, site.Name, "")
		var placement *jetstream.Placement
		if a.shared {
			placement = &jetstream.Placement{Cluster: site.Name}
		}
		if site.Name == "east" {
			w.await(t, soon, func() error {
				_, err := js.CreateOrUpdateObjectStore(w.ctx, jetstream.ObjectStoreConfig{Bucket: "files", Placement: placement})
				return err
			})
			continue
		}
		c := jetstream.StreamConfig{Name: "OBJ_" + a.at(site.Name, "files"), Placement: placement, AllowRollup: true, AllowDirect: true, MirrorDirect: true,
			Mirror: &jetstream.StreamSource{Name: "OBJ_files"}}
		if !a.shared {
			c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
		}
		w.await(t, soon, func() error {
			_, err := js.CreateOrUpdateStream(w.ctx, c)
			return err
		})
		g.Mirrors[site.Name] = neverButWest(site.Name, c.Name)
	}
	return g
}

// objects is a program of east and one of west that use an object store.
type objects struct {
	*applications
	east, west jetstream.ObjectStore // handles of before
	content    map[string][]byte     // as last put
}

func (o *objects) open(t *testing.T, site string) (store jetstream.ObjectStore) {
	t.Helper()
	o.w.await(t, soon, func() (err error) {
		store, err = o.js(t, site, "").ObjectStore(o.w.ctx, o.at(site, "files"))
		return err
	})
	return store
}

// put puts an object of some chunks.
func (o *objects) put(store jetstream.ObjectStore, name string, version byte) error {
	ctx, cancel := context.WithTimeout(o.w.ctx, 3*time.Second)
	defer cancel()
	content := bytes.Repeat([]byte{version}, 300_000)
	_, err := store.PutBytes(ctx, name, content)
	if err == nil {
		o.content[name] = content
	}
	return err
}

func (o *objects) mustPut(t *testing.T, store jetstream.ObjectStore, name string, version byte) {
	t.Helper()
	o.w.await(t, soon, func() error { return o.put(store, name, version) })
}

// holds wants an object as it was put last.
func (o *objects) holds(store jetstream.ObjectStore, name string) error {
	ctx, cancel := context.WithTimeout(o.w.ctx, 3*time.Second)
	defer cancel()
	got, err := store.GetBytes(ctx, name)
	if err == nil && !bytes.Equal(got, o.content[name]) {
		err = fmt.Errorf("%s has %d bytes, another content than was put", name, len(got))
	}
	return err
}

func (o *objects) before(t *testing.T) {
	o.content = map[string][]byte{}
	o.east, o.west = o.open(t, "east"), o.open(t, "west")
	o.mustPut(t, o.east, "report", 1)
	o.mustPut(t, o.east, "report", 2)
	o.mustPut(t, o.east, "gone", 1)
	if err := o.east.Delete(o.w.ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	delete(o.content, "gone")
	last := o.w.mustInfo(t, "east", "OBJ_files").State.LastSeq
	for _, site := range []string{"west", "eu"} {
		o.w.await(t, soon, func() error {
			i, err := o.w.info(site, "OBJ_"+o.at(site, "files"))
			if err == nil && i.State.LastSeq < last {
				err = fmt.Errorf("%s is at %d of %d", site, i.State.LastSeq, last)
			}
			return err
		})
	}
	if !o.shared {
		if err := o.holds(o.west, "report"); err != nil {
			t.Errorf("west's copy, a mirror: %v", err)
		}
		o.mustPut(t, o.west, "from-west", 1) // its subjects lead to east
		o.w.await(t, soon, func() error { return o.holds(o.east, "from-west") })
		o.w.await(t, soon, func() error { return o.holds(o.west, "from-west") })
	}
}

func (o *objects) failedOver(t *testing.T) {
	if o.shared {
		o.unreachable(t)
		return
	}
	for i, store := range []jetstream.ObjectStore{o.west, o.open(t, "west")} {
		if err := o.holds(store, "report"); err != nil {
			t.Error(err)
		}
		if _, err := store.GetInfo(o.w.ctx, "gone"); wants(err, jetstream.ErrObjectNotFound) != nil {
			t.Errorf("the deleted object: %v", err)
		}
		for _, name := range []string{"report", "later"} {
			o.mustPut(t, store, name, byte(10+i))
			if err := o.holds(store, name); err != nil {
				t.Error(err)
			}
		}
	}
}

// unreachable finds that a store under another name is of no use: its clients make the subjects from the name.
func (o *objects) unreachable(t *testing.T) {
	if err := o.put(o.east, "lost", 1); err == nil {
		t.Error("the old name takes an object")
	}
	for _, store := range []jetstream.ObjectStore{o.west, o.open(t, "west")} {
		if err := wants(o.holds(store, "report"), jetstream.ErrObjectNotFound); err != nil {
			t.Errorf("by the new name: %v", err)
		}
		if err := o.put(store, "lost", 1); err == nil {
			t.Error("the new name takes an object")
		}
	}
}

// rejoined reads by the old name again.
func (o *objects) rejoined(t *testing.T) {
	for name := range o.content {
		o.w.await(t, soon, func() error { return o.holds(o.east, name) })
	}
}

// back has the store under its name where it was.
func (o *objects) back(t *testing.T) {
	for name := range o.content {
		if err := o.holds(o.east, name); err != nil {
			t.Error(err)
		}
	}
	o.mustPut(t, o.east, "report", 20)
	if err := o.holds(o.east, "report"); err != nil {
		t.Error(err)
	}
	if !o.shared {
		o.w.await(t, soon, func() error { return o.holds(o.west, "report") })
	}
}
