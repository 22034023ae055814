package consumers

import "time"

// markBase begins the second in which our pauses end: far off, and a time that nobody else asks for.
var markBase = time.Date(2242, time.February, 2, 22, 42, 42, 0, time.UTC)

// mark is the end of a pause of ours. Its fraction of a second names the epoch. So a consumer that we hold can be told from
// all others by its pause_until alone: nothing is added to its config that would stay, and make the application's own
// config another one.
func mark(epoch uint64) time.Time { return markBase.Add(time.Duration(epoch % uint64(time.Second))) }

// isMark tells a pause of ours, of any epoch.
func isMark(until time.Time) bool { return until.Truncate(time.Second).Equal(markBase) }
