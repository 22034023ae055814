package api

import "slices"

// Stream returns a guarded stream by its name.
func (s Status) Stream(name string) (StreamStatus, bool) {
	i := slices.IndexFunc(s.Streams, func(st StreamStatus) bool { return st.Name == name })
	if i < 0 {
		return StreamStatus{}, false
	}
	return s.Streams[i], true
}

// Names returns the names of the guarded streams, sorted.
func (s Status) Names() []string {
	names := make([]string, 0, len(s.Streams))
	for _, st := range s.Streams {
		names = append(names, st.Name)
	}
	slices.Sort(names)
	return names
}

// listed turns every list that is missing into an empty one: in JSON a list is never null.
func (s Status) listed() Status {
	s.Peers = orEmpty(s.Peers)
	s.Streams = slices.Clone(orEmpty(s.Streams))
	for i := range s.Streams {
		st := &s.Streams[i]
		st.Observers, st.Members = orEmpty(st.Observers), orEmpty(st.Members)
	}
	return s
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
