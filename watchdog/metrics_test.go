package watchdog

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-ha/understudy/policy"
)

func TestALookIsBookedUnderTheSiteThatWasAsked(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry(), nil)
	m.looked("ORDERS", policy.MemberID{Site: "east", Stream: "ORDERS"}, policy.Look{Via: "west", Evidence: policy.Timeout, Took: time.Second})
	if m.probes.DeleteLabelValues("east", "timeout") {
		t.Error("booked under east, which was not asked")
	}
	if !m.probes.DeleteLabelValues("west", "timeout") {
		t.Error("not booked under west")
	}
}
