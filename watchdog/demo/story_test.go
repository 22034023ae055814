package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestStory plays there and back in each topology; with -all also on replicas, and for the other faults.
func TestStory(t *testing.T) {
	plays := map[string]Options{
		"domains":      {Topology: natslab.Domains},
		"supercluster": {Topology: natslab.Supercluster},
	}
	if *all {
		for name, o := range map[string]Options{
			"replicas":               {Servers: 3},
			"replicas-supercluster":  {Servers: 3, Topology: natslab.Supercluster},
			"shutdown":               {Fault: Shutdown},
			"pause":                  {Fault: Pause},
			"pause-supercluster":     {Fault: Pause, Topology: natslab.Supercluster},
			"partition":              {Fault: Partition},
			"partition-supercluster": {Fault: Partition, Topology: natslab.Supercluster},
			"spare-leader":           {SpareLeader: true},
		} {
			plays[name] = o
		}
	}
	for name, o := range plays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Story = true
			checkStory(t, playOne(t, o))
		})
	}
}

// checkStory checks the figures of a story that is OK.
func checkStory(t *testing.T, r Result) {
	t.Helper()
	if r.StoryResult == nil {
		t.Fatal("no figures of a story")
	}
	if r.Promotions != 1 || r.Duplicates != 0 || r.Lost != 0 {
		t.Errorf("%d promoted, %d stored twice, %d lost, want 1, 0, 0", r.Promotions, r.Duplicates, r.Lost)
	}
	if r.Tail < tailAcks/2 || r.Salvaged != r.Tail || r.Replayed < r.Tail { // some of those acks may have been replicated
		t.Errorf("a tail of %d, %d archived, %d replayed, want some %d and all of them", r.Tail, r.Salvaged, r.Replayed, tailAcks)
	}
	if r.SwitchoverGapMS <= 0 || r.SwitchoverGapMS >= r.PublishGapMS {
		t.Errorf("the gap of the switchover is %d ms, that of the failover %d ms", r.SwitchoverGapMS, r.PublishGapMS)
	}
	if r.Missed > 0 {
		t.Errorf("%d durables were carried, and missed %d messages", r.Consumers, r.Missed)
	}
}

// TestStoryOptions holds where there is a story, and that anything else is refused with its reason.
func TestStoryOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string // in the error; "" none
	}{
		{"defaults", Options{}, ""},
		{"replicas", Options{Servers: 3, Topology: natslab.Supercluster}, ""},
		{"cut off", Options{Fault: Partition}, ""},
		{"clean shutdown in domains", Options{Fault: Shutdown}, ""},
		{"clean shutdown in a supercluster", Options{Fault: Shutdown, Topology: natslab.Supercluster}, "subjects_unreleasable"},
		{"two clusters", Options{Topology: natslab.TwoCluster}, "meta_quorum_lost"},
		{"flap", Options{Fault: Flap}, "no failover"},
		{"deleted", Options{Fault: Delete}, "origin_deleted"},
		{"credentials", Options{Fault: Credentials}, "blind"},
		{"manual", Options{Mode: policy.ModeManual}, "manual"},
		{"unknown fault", Options{Fault: "flood"}, "flood"},
	} {
		c.o.Story = true
		err := c.o.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestJudgeStory holds what makes a story OK.
func TestJudgeStory(t *testing.T) {
	good := func() Result {
		return Result{Outcome: SwitchedBack, Reason: "healthy", Promotions: 1, Acked: 9, OnPrimary: 7, Tail: 2, Salvaged: 2,
			StoryResult: &StoryResult{Replayed: 2, Consumers: 1}}
	}
	for _, c := range []struct {
		name  string
		spoil func(*Result)
		ok    bool
	}{
		{"there and back", func(*Result) {}, true},
		{"not switched back", func(r *Result) { r.Outcome = FailedOver }, false},
		{"not healthy", func(r *Result) { r.Reason = "suspect" }, false},
		{"two promoted", func(r *Result) { r.Promotions = 2 }, false},
		{"one lost", func(r *Result) { r.Lost = 1 }, false},
		{"one stored twice", func(r *Result) { r.Duplicates = 1 }, false},
		{"one not archived", func(r *Result) { r.Salvaged = 1 }, false},
		{"one not replayed", func(r *Result) { r.Replayed = 1 }, false},
		{"durable not carried", func(r *Result) { r.Consumers = 0 }, !consumersAreCarried},
		{"durable missed one", func(r *Result) { r.Missed = 1 }, !consumersAreCarried},
	} {
		r := good()
		c.spoil(&r)
		if r.judgeStory(); r.OK != c.ok || r.Expected != "switched_back/healthy" {
			t.Errorf("%s: ok %v, expected %s, want %v", c.name, r.OK, r.Expected, c.ok)
		}
	}
}

// TestLongestGap leaves out the publisher inside, attempts that failed, and what was recorded late.
func TestLongestGap(t *testing.T) {
	zero := time.Now()
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	gap, end := longestGap([]attempt{
		{end: ackOK, at: at(0)}, {end: ackOK, at: at(10)}, {end: ackFail, at: at(40)}, {who: publisherCount, end: ackOK, at: at(50)},
		{end: ackOK, at: at(90)}, {who: 1, end: ackOK, at: at(89)}, {end: ackOK, at: at(100)},
	})
	if gap != 80*time.Millisecond || !end.Equal(at(90)) {
		t.Errorf("%s until +%s, want 80ms until +90ms", gap, end.Sub(zero))
	}
	if gap, _ := longestGap(nil); gap != 0 {
		t.Errorf("of nothing: %s", gap)
	}
}

// TestStoryJSON holds the fields of a story's result and their order.
func TestStoryJSON(t *testing.T) {
	got, err := json.Marshal(Result{StoryResult: &StoryResult{}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `"publish_gap_ms":0,"replayed":0,"dual_capture_ms":0,"switchover_gap_ms":0,"consumers":0,"redelivered":0,"missed":0,"ok":false}`
	if !strings.HasSuffix(string(got), want) {
		t.Errorf("got %s, want it to end %s", got, want)
	}
}

// TestWorkerFollows carries the worker's durable to a promoted mirror by hand, ten messages back: the worker finds it,
// misses nothing, and gets those ten again.
func TestWorkerFollows(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), playTime)
	defer cancel()
	o := Options{Mode: policy.ModeAlertOnly}.withDefaults()
	s := &scene{o: o, tell: newTeller(o)}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.build(ctx); err != nil {
		t.Fatal(err)
	}
	a, err := startWorker(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop()
	const before, back, after = 50, 10, 5
	acked := map[string]bool{}
	publishAt(ctx, t, s, acked, before)
	if err := a.untilAll(ctx, acked); err != nil {
		t.Fatal(err)
	}
	promoteByHand(ctx, t, s, before, before-back+1)
	publishAt(ctx, t, s, acked, after)
	if err := a.untilAll(ctx, acked); err != nil {
		t.Fatal(err)
	}
	if n := a.again(); n != back {
		t.Errorf("%d messages came again, want %d", n, back)
	}
	if n := a.missed(map[string]bool{"m1": true, "never sent": true}); n != 1 {
		t.Errorf("%d of a message that came and one that did not are missed, want 1", n)
	}
}

// promoteByHand deletes the origin, and binds the mirror at west with the durable at a sequence.
func promoteByHand(ctx context.Context, t *testing.T, s *scene, last, seq uint64) {
	t.Helper()
	if err := poll(ctx, func(ctx context.Context) error {
		held, err := s.readStream(ctx, policy.MemberID{Site: "west", Stream: mirrorOf["west"]})
		if err == nil && held.last != last {
			err = fmt.Errorf("the mirror is at %d, want %d", held.last, last)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.deleteOrigin(ctx); err != nil {
		t.Fatal(err)
	}
	nc, err := s.connect(ctx, "west")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateStream(ctx, jetstream.StreamConfig{Name: mirrorOf["west"], Subjects: []string{subjects}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(ctx, mirrorOf["west"], jetstream.ConsumerConfig{Durable: durable, AckPolicy: jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: seq}); err != nil {
		t.Fatal(err)
	}
}
