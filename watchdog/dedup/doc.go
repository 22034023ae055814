// Package dedup makes a promoted stream know the message ids that it holds.
//
// A mirror keeps no deduplication window, so a publish whose ack died with the origin, and which is retried after the
// promotion, would be stored twice. Seed publishes an empty message with each id of the window to the stream while it is
// parked, where nobody else publishes or listens, and purges them: the ids stay known.
//
// It must never cost a message: where a seed could push one out, or could not be removed, it seeds less or nothing, and
// says so. It decides nothing and logs nothing; the caller is a leader that has logged its promote. Start reading at
// seed.go; DESIGN.md has the protocol.
package dedup
