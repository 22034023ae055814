package simulator

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

var (
	seeds = flag.Int("seeds", 20, "how many seeds TestSearch plays in each setting")
	seed  = flag.Int64("seed", -1, "play only this seed, and print its trace")
)

var settings = []Options{
	{Steps: 250},
	{Steps: 250, Shared: true},
	{Steps: 250, Shared: true, Release: policy.ReleaseDelete},
	{Steps: 500, Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto},
	{Steps: 500, Shared: true, Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto, Salvage: policy.SalvageReplay},
	{Steps: 250, Hands: true},
	{Steps: 250, Shared: true, FenceAfter: 2 * time.Second},
	{Steps: 250, Shared: true, FenceAfter: 2 * time.Second, Release: policy.ReleaseDelete, Hands: true},
	{Steps: 500, Hands: true, Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto},
}

func (o Options) String() string {
	return fmt.Sprintf("shared=%v,release=%s,fence=%s,rejoin=%s,hands=%v", o.Shared, o.Release, o.FenceAfter, o.Rejoin, o.Hands)
}

// TestSearch plays many seeds; a failing one prints its trace, and `-seed N` plays it again.
func TestSearch(t *testing.T) {
	for _, o := range settings {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			total := record{}
			for i := range *seeds {
				if *seed >= 0 {
					i = int(*seed)
				}
				o.Seed = uint64(i)
				s := New(o)
				if err := s.Run(); err != nil {
					t.Fatalf("seed %d: %v\n%s", i, err, strings.Join(s.Trace(), "\n"))
				}
				total.Begun += s.seen.Begun
				total.Done += len(s.seen.promoted)
				total.switched += s.seen.switched
				total.rejoined += s.seen.rejoined
				total.spared += s.seen.spared
				total.Adopted += s.seen.Adopted
				total.ahead += s.seen.ahead
				if *seed >= 0 {
					t.Log(strings.Join(s.Trace(), "\n"))
					break
				}
			}
			t.Logf("%d seeds: %d attempts begun, %d of them switchovers, %d promotions, %d members rejoined, %d spare copies, %d adoptions, %d fenced ahead", *seeds,
				total.Begun, total.switched, total.Done, total.rejoined, total.spared, total.Adopted, total.ahead)
			if *seed < 0 && !o.Hands && (total.Begun < *seeds/4 || total.Done < *seeds/8) || o.Hands && total.Adopted < *seeds/4 || o.FenceAfter > 0 && total.ahead < *seeds/4 {
				t.Errorf("the weather hardly ever leads to a failover: nothing is tested")
			}
		})
	}
}

// TestMutationsAreFound shows that the checks are alive: each broken rule must break a promise within a few seeds.
func TestMutationsAreFound(t *testing.T) {
	for _, m := range []Mutation{NoRepair, AbortAfterPromote, WriteUnlogged, EmptyArchive} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for i := range 2000 {
				for _, o := range settings {
					o.Seed, o.Break = uint64(i), m
					if err := New(o).Run(); err != nil {
						t.Logf("found at seed %d, %s: %v", i, o, err)
						return
					}
				}
			}
			t.Error("nothing was found")
		})
	}
}
