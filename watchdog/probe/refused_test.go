package probe_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// What the server, or its owner, says about the stream itself.
func TestWhatAStreamAnswers(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	created := member(r.look(), origin).Last.Created

	parked := `{"name":"EVENTS","storage":"file","subjects":["$devnull.east.EVENTS"]}`
	_, err := r.admin["east"].Update(within(t, 5*time.Second), origin.Stream, []byte(parked))
	r.must(err)
	rep := r.sees(origin, "east", policy.AnsweredParked)
	if m := member(rep, origin); !m.Last.Created.Equal(created) {
		t.Errorf("a park changed the identity: %v, before %v", m.Last.Created, created)
	}

	r.must(r.admin["east"].Delete(within(t, 5*time.Second), origin.Stream))
	rep = r.sees(origin, "east", policy.NotFound)
	if m := member(rep, origin); m.Last == nil || !m.Last.Created.Equal(created) {
		t.Errorf("kept of the deleted stream: got %+v", m.Last)
	}

	r.create(origin, `"subjects":["events.>"]`)
	rep = r.sees(origin, "east", policy.Answered)
	if m := member(rep, origin); m.Last.Created.Equal(created) {
		t.Error("the stream was created anew: its identity did not change")
	}
}

// refusals are never evidence of an outage, and are told at once.
func (r *rig) refused(want policy.Evidence, members ...policy.MemberID) {
	r.t.Helper()
	r.until(string(want)+" everywhere", func(rep policy.Report) bool {
		for _, id := range members {
			for _, l := range member(rep, id).Looks {
				if l.Evidence.Verdict() == policy.Down && l.Evidence != policy.Timeout { // a busy machine is late with all
					r.t.Fatalf("%s: %+v", id, l)
				}
			}
			if l, ok := through(member(rep, id), id.Site); !ok || l.Evidence != want || l.Took > timeout/2 {
				return false
			}
		}
		return true
	})
}

func TestLoginWithoutPermission(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.observe(natslab.NoAPIUser)
	r.refused(policy.PermissionDenied, origin, west, eu)
}

func TestAccountWithoutJetStream(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.observe(natslab.SysUser)
	r.refused(policy.JetStreamOff, origin, west, eu)
}

func TestChangedCredentials(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	file := filepath.Join(t.TempDir(), "password")
	r.must(os.WriteFile(file, []byte(natslab.AppPassword), 0o600))
	e := probe.Entry{Site: "east"}
	login := r.config.Logins[e]
	login.Password, login.PasswordFile = "", file
	r.config.Logins[e] = login
	r.obs.Configure(r.config)
	r.sees(origin, "east", policy.Answered)

	r.must(r.lab.Site("east").SetPassword(within(t, 10*time.Second), "another"))
	rep := r.sees(origin, "east", policy.AuthError)
	if l, _ := through(member(rep, origin), "east"); l.Evidence.Verdict() != policy.Unknown {
		t.Errorf("got %+v", l)
	}
	r.must(os.WriteFile(file, []byte("another"), 0o600))
	r.sees(origin, "east", policy.Answered)
}

// In a shared meta group, a path whose own login is refused must not outvote what the other paths show.
func TestRefusedPathIsLeftOut(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Supercluster, 1, 1)
	for site, user := range map[string]string{"west": natslab.NoAPIUser, "eu": natslab.AppUser} {
		r.config.Logins[probe.Entry{Site: site}] = r.login(site, user)
	}
	bad := r.config.Logins[probe.Entry{Site: "eu"}]
	bad.Password = "wrong"
	r.config.Logins[probe.Entry{Site: "eu"}] = bad
	r.obs.Configure(r.config)
	r.sees(west, "west", policy.PermissionDenied)
	r.sees(eu, "eu", policy.AuthError)
	r.must(r.lab.Site("east").Kill())
	rep := r.sees(origin, "east", policy.Disconnected)
	if m := member(rep, origin); len(m.Looks) != 1 {
		t.Errorf("got %+v, want the own path only", m.Looks)
	}
}
