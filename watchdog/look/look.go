// Package look turns one answer or error of a site's JetStream API into the words of the policy: evidence and
// snapshots. The probe and the failover share it, so that both mean the same by the same sight. It asks nothing itself.
package look

import (
	"errors"
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// EvidenceOf is what a failed STREAM.INFO means.
func EvidenceOf(err error) policy.Evidence {
	for _, k := range []struct {
		is  error
		and policy.Evidence
	}{
		{jsapi.ErrNotFound, policy.NotFound},
		{jsapi.ErrOffline, policy.Offline},
		{jsapi.ErrMetaUnavailable, policy.MetaUnavailable},
		{jsapi.ErrNoJetStream, policy.JetStreamOff},
		{jsapi.ErrOverloaded, policy.Overloaded},
		{jsapi.ErrAuth, policy.AuthError},
		{jsapi.ErrPermission, policy.PermissionDenied},
		{jsapi.ErrNoResponders, policy.NoResponders},
		{jsapi.ErrTimeout, policy.Timeout},
		{jsapi.ErrDisconnected, policy.Disconnected},
	} {
		if errors.Is(err, k.is) {
			return k.and
		}
	}
	return policy.Unclear
}

// EvidenceOfInfo is what an answer means.
func EvidenceOfInfo(info *jsapi.Info) policy.Evidence {
	shape, err := policy.ShapeOf(info.Config)
	switch {
	case info.Cluster != nil && info.Cluster.Leader == "":
		return policy.NoLeader
	case err == nil && shape.Kind == policy.ShapeParked:
		return policy.AnsweredParked
	}
	return policy.Answered
}

// SnapshotOf is the answer as the policy keeps it. The API level and the rate are the caller's to fill in: one INFO
// does not tell them.
func SnapshotOf(info *jsapi.Info) policy.Snapshot {
	s := policy.Snapshot{
		Created: info.Created, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, LastTime: info.State.LastTime,
		Messages: info.State.Messages, Deleted: info.State.NumDeleted, Leader: info.Leader(), Replicas: 1, Current: 1,
		Config: info.Config, ConfigSum: policy.Sum(info.Config),
	}
	if info.Cluster != nil {
		s.Replicas += len(info.Cluster.Replicas)
		for _, p := range info.Cluster.Replicas {
			if p.Current && !p.Offline {
				s.Current++
			}
		}
	}
	if m := info.Mirror; m != nil {
		s.Mirror = &policy.MirrorView{Name: m.Name, Active: m.Active, Lag: m.Lag}
		if m.Error != nil {
			s.Mirror.Error = strings.TrimSpace(m.Error.Error())
		}
	}
	return s
}
