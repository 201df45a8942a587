package api

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"

	"handprint/serve/query"
)

// tagOf returns the entity tag of an identity: the place of its partition in the
// changelog, and a digest of what comes from other topics than that. How common values
// are, and as of when all this is, do not count.
func tagOf(i *query.Identity) (string, error) {
	h := fnv.New64a()
	err := json.NewEncoder(h).Encode([]any{i.Suspicion, i.Record, i.Attackers})
	if err != nil {
		return "", fmt.Errorf("making the tag of an identity: %w", err)
	}
	return fmt.Sprintf(`"%d-%d-%x"`, i.Position.Partition, i.Position.Offset, h.Sum64()), nil
}

// hasTag reports whether If-None-Match, a list or a star, names an entity tag.
func hasTag(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
