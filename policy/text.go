package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

func reasonf(c Code, format string, args ...any) Reason {
	return Reason{Code: c, Text: fmt.Sprintf(format, args...)}
}

// messages counts them in words that agree.
func messages(n uint64) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

func list(names []string) string { return strings.Join(names, ", ") }

// evidenceList reads "wd-east timeout, wd-west no_responders".
func evidenceList(votes []Vote) string {
	parts := make([]string, 0, len(votes))
	for _, v := range votes {
		parts = append(parts, v.Node+" "+string(v.Evidence))
	}
	return list(parts)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// adoptRemedy ends the reason of a stream that waits for a person.
func adoptRemedy(r Reason, stream string) Reason {
	switch r.Code {
	case ChangedOutside, StateLost, OriginDeleted, OriginRecreated:
		r.Text += fmt.Sprintf("; undo that, or take it over: `understudy adopt %s`", stream)
	}
	return r
}
