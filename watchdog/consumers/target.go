package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Target is the promoted stream that consumers are carried to. It must be parked: nothing but ours writes to it.
type Target struct {
	Conn   *jsapi.Conn
	Stream string
	// Epoch marks the consumers that we hold.
	Epoch uint64
	// LastSeq is the last message that came from the old primary: where the stream stood still after its promotion.
	LastSeq uint64
	// Level is the API level of the site. Below resetLevel nothing is reset.
	Level int
	// Replicas and Retention are the stream's own.
	Replicas  int
	Retention string
}

// resetLevel is the API level from which a consumer can be reset; a server below it never answers.
const resetLevel = 4

// At reads what has to be known of a promoted stream.
func At(ctx context.Context, conn *jsapi.Conn, stream string, epoch, lastSeq uint64) (Target, error) {
	t := Target{Conn: conn, Stream: stream, Epoch: epoch, LastSeq: lastSeq}
	info, err := conn.Info(ctx, stream)
	if err != nil {
		return Target{}, fmt.Errorf("look at %s before its consumers: %w", stream, err)
	}
	var conf struct {
		Replicas  int    `json:"num_replicas"`
		Retention string `json:"retention"`
	}
	if err := json.Unmarshal(info.Config, &conf); err != nil {
		return Target{}, fmt.Errorf("look at %s before its consumers: %w", stream, err)
	}
	t.Replicas, t.Retention = max(conf.Replicas, 1), conf.Retention
	if t.Level, _, err = conn.API(ctx); err != nil {
		return Target{}, fmt.Errorf("look at %s before its consumers: %w", stream, err)
	}
	return t, nil
}

// together is how many consumers are worked on side by side. A server makes a raft group for each that has replicas.
const together = 16

// each calls f for every index below n, together at a time, and returns when all calls have.
func each(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, together) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// refused tells the server's considered no, which asking again does not change, from an answer that is only missing.
func refused(err error) bool {
	for _, passing := range []error{
		jsapi.ErrMetaUnavailable, jsapi.ErrOffline, jsapi.ErrOverloaded, jsapi.ErrNotFound, jsapi.ErrNoJetStream,
	} {
		if errors.Is(err, passing) {
			return false
		}
	}
	var no *jsapi.APIError
	return errors.As(err, &no) && no.Code < 500 || errors.Is(err, jsapi.ErrPermission)
}

// failed is the outcome of a consumer that could not be carried over.
func failed(name string, err error) policy.ConsumerOutcome {
	return policy.ConsumerOutcome{Name: name, How: policy.ConsumerFailed, Text: err.Error()}
}
