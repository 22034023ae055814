package dedup

import "strings"

// matches tells whether a subject, without wildcards, is one of a pattern's; "" stands for all.
func matches(pattern, subject string) bool {
	if pattern == "" {
		return true
	}
	want, is := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		if token == ">" {
			return len(is) > i
		}
		if i >= len(is) || token != "*" && token != is[i] {
			return false
		}
	}
	return len(want) == len(is)
}
