package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the known word that a mistyped one most likely means, or "".
func nearest(word string, known []string) string {
	best, bestDist := "", len(word)/3+2 // a third of the letters may be wrong, and at least one
	if len(word) > 64 {
		return "" // no typing error: spare the work
	}
	for _, k := range slices.Sorted(slices.Values(known)) { // of two as near, always the same
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDist {
			best, bestDist = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace (Levenshtein), where two neighbours that changed
// places count as one.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// didYouMean is the remedy for a word that is none of the known ones.
func didYouMean(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "use one of: " + oneOf(known)
}

// oneOf lists words in order, the first few only.
func oneOf(known []string) string {
	const most = 30
	sorted := slices.Sorted(slices.Values(known))
	if len(sorted) > most {
		return strings.Join(sorted[:most], ", ") + ", …"
	}
	return strings.Join(sorted, ", ")
}

// quote shows a value as the file has it, cut to a line's worth.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
