package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

// maxReferences is how many schemas one may refer to, those included that are
// referred to on the way.
const maxReferences = 100

// unreadableError is why records by a schema cannot be read, whatever the registry
// is asked further.
type unreadableError string

// Error returns the reason.
func (e unreadableError) Error() string { return string(e) }

// references returns the schemas that one refers to, each after the ones it
// refers to itself. The error is an unreadableError if asking again is of no
// use.
func (c *Client) references(ctx context.Context, schema *sr.Schema) (texts [][]byte, err error) {
	type place struct {
		subject string
		version int
	}
	seen := make(map[place]bool)
	var follow func(s *sr.Schema) error
	follow = func(s *sr.Schema) error {
		for _, r := range s.References {
			at := place{r.Subject, r.Version}
			if seen[at] {
				continue
			}
			if seen[at] = true; len(seen) > maxReferences {
				return unreadableError(fmt.Sprintf("refers to more than %d schemas", maxReferences))
			}
			// One that was deleted since is still what records were written by.
			found, err := c.sr.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), r.Subject, r.Version)
			if err != nil {
				err = refused(fmt.Sprintf("asking for version %d of %.100s", r.Version, r.Subject), err)
				var no *RefusedError
				if errors.As(err, &no) && (no.Code == codeNoSubject || no.Code == codeNoVersion) {
					return unreadableError(fmt.Sprintf("refers to version %d of %.100s, which the registry does not have", r.Version, r.Subject))
				}
				return err
			}
			if found.Type != sr.TypeAvro {
				return unreadableError(fmt.Sprintf("refers to version %d of %.100s, which is of type %v, not Avro", r.Version, r.Subject, found.Type))
			}
			if found.Schema.Schema == "" {
				return fmt.Errorf("asking for version %d of %.100s: %w", r.Version, r.Subject, errNoSchema)
			}
			if err := follow(&found.Schema); err != nil {
				return err
			}
			texts = append(texts, []byte(found.Schema.Schema))
		}
		return nil
	}
	return texts, follow(schema)
}
