package policy

import (
	"encoding/json"
	"fmt"
)

// prefixTo is the API prefix by which a mirror at one member's place reaches another member: none in the same meta group,
// else that of the other's domain.
func (st StreamState) prefixTo(sr StreamRules, mirror, upstream MemberID) (string, error) {
	own, other := sr.Domains[mirror.Site], sr.Domains[upstream.Site]
	switch {
	case own == other && own != "", st.connected(mirror, upstream):
		return "", nil
	case other != "":
		return "$JS." + other + ".API", nil
	}
	return "", fmt.Errorf("how it reaches %s is not known: name the domains of both sites (sites.%s.domain, sites.%s.domain), or make it a mirror by hand", upstream, upstream.Site, mirror.Site)
}

// neighbours lists the members that are known to share a member's meta group.
func (st StreamState) neighbours(id MemberID) []MemberID {
	var list []MemberID
	for _, key := range sortedKeys(st.Members) {
		if o := st.Members[key].ID; o != id && st.connected(id, o) {
			list = append(list, o)
		}
	}
	return list
}

// connected reports that two members are known to share a meta group, directly or by way of others.
func (st StreamState) connected(a, b MemberID) bool {
	seen, todo := map[MemberID]bool{a: true}, []MemberID{a}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at == b {
			return true
		}
		for _, key := range sortedKeys(st.Members) {
			if id := st.Members[key].ID; !seen[id] && st.shareMeta(at, id) {
				seen[id] = true
				todo = append(todo, id)
			}
		}
	}
	return false
}

// PlaceAt is the placement that a member gets when it is made anew at another site of its meta group, under its own name: that
// of the member which lives there. nil with an empty Reason leaves its own.
func (st StreamState) PlaceAt(id MemberID, site string) (json.RawMessage, Reason) {
	if site == "" || site == id.Site {
		return nil, Reason{}
	}
	for _, key := range sortedKeys(st.Members) {
		m := st.Members[key]
		switch {
		case m.ID.Site != site:
			continue
		case !st.connected(id, m.ID):
			return nil, reasonf(WrongUpstream, "%s lives in another meta group than %s: a stream moves within one only", m.ID, id)
		}
		if place := mustParse(m.Config)["placement"]; len(place) > 0 && string(place) != "null" {
			return place, Reason{}
		}
		return nil, reasonf(WrongUpstream, "%s has no placement that tells where %s is", m.ID, site)
	}
	return nil, reasonf(WrongUpstream, "no member of %s is at %s", st.Name, site)
}
