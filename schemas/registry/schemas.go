package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr"

	"handprint/schemas"
)

// Naming is how subjects are named: what a schema is compatible with are the
// earlier ones of its subject.
type Naming string

// The namings, by the words of their setting.
const (
	ByTopic  Naming = "topic"  // the topic's name and "-value" (TopicNameStrategy)
	ByRecord Naming = "record" // the schema's full name (RecordNameStrategy)
)

// Subject returns the subject of a contract's schema on a topic.
func (n Naming) Subject(c schemas.Contract, topic string) string {
	if n == ByRecord {
		return c.RecordName()
	}
	return topic + "-value"
}

// Register registers a contract's schema under a subject and returns its id: the
// same one each time. It asks once. The error is a *RefusedError if the registry
// will not have it.
func (c *Client) Register(ctx context.Context, subject string, contract schemas.Contract) (uint32, error) {
	id, err := c.sr.RegisterSchema(ctx, subject, sr.Schema{Schema: contract.Schema()}, -1, -1)
	if err != nil {
		return 0, refused("registering "+subject, err)
	}
	return c.ours(ctx, "registering "+subject, id, contract)
}

// Lookup returns the id that a contract's schema has under a subject, where
// somebody else registers it. It asks once. The error is a *RefusedError if it
// is not registered.
func (c *Client) Lookup(ctx context.Context, subject string, contract schemas.Contract) (uint32, error) {
	found, err := c.sr.LookupSchema(ctx, subject, sr.Schema{Schema: contract.Schema()})
	if err != nil {
		return 0, refused("looking for this version's schema of "+subject, err)
	}
	return c.ours(ctx, "looking for this version's schema of "+subject, found.ID, contract)
}

// ours notes the id of a schema of ours: records by it can then be read without
// asking. Whoever reads what is written by a wrong id reads something else, or
// nothing, so the registry is asked what it has by that id. That it does not say
// is no reason to stop: it may let us write and not read.
func (c *Client) ours(ctx context.Context, doing string, id int, contract schemas.Contract) (uint32, error) {
	if id <= 0 || int64(id) > 1<<32-1 { // 0: the answer had none
		return 0, fmt.Errorf("%s: the schema registry gave the id %d, which no schema has", doing, id)
	}
	has, err := c.sr.SchemaByID(ctx, id)
	if err != nil {
		var no *RefusedError
		if err = refused(doing, err); !errors.As(err, &no) {
			return 0, err
		}
	} else if !contract.WritesLike(has.Schema) {
		return 0, fmt.Errorf("%s: the schema registry gave the id %d, by which it has another schema", doing, id)
	}
	c.writers.Add(uint32(id), []byte(contract.Schema()))
	return uint32(id), nil
}

// Check asks whether a contract's schema would be compatible with what is
// registered under a subject, by the registry's rules. It returns the
// registry's reasons if not; a subject that is not there yet takes anything.
func (c *Client) Check(ctx context.Context, subject string, contract schemas.Contract) (reasons []string, err error) {
	answer, err := c.sr.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, -1, sr.Schema{Schema: contract.Schema()})
	if err != nil {
		err = refused("checking "+subject, err)
		var no *RefusedError
		if errors.As(err, &no) && (no.Code == codeNoSubject || no.Code == codeNoVersion) {
			return nil, nil
		}
		return nil, err
	}
	if answer.Is {
		return nil, nil
	}
	for _, m := range answer.Messages {
		reasons = append(reasons, oneLine(m))
	}
	if len(reasons) == 0 {
		own, err := c.ownReason(ctx, subject, contract)
		if err != nil {
			return nil, err
		}
		reasons = []string{"not compatible; the registry gives no reason" + own}
	}
	return reasons, nil
}

// ownReason looks for what a registry does not say: why a contract's schema does
// not go together with the latest one of a subject. It is empty if it finds
// nothing. What was no answer to begin with comes out here.
func (c *Client) ownReason(ctx context.Context, subject string, contract schemas.Contract) (string, error) {
	latest, err := c.sr.SchemaByVersion(ctx, subject, -1)
	var said *sr.ResponseError
	switch {
	case errors.As(err, &said): // it may not let us read
		return "", nil
	case err != nil:
		return "", refused("checking "+subject, err)
	case latest.Schema.Schema == "":
		return "", fmt.Errorf("checking %s: %w", subject, errNoSchema)
	}
	if err := schemas.CheckReads(contract.Schema(), latest.Schema.Schema); err != nil {
		return ". By our own rules, this version does not read what is registered: " + oneLine(err.Error()), nil
	}
	if err := schemas.CheckReads(latest.Schema.Schema, contract.Schema()); err != nil {
		return ". By our own rules, what is registered does not read this version: " + oneLine(err.Error()), nil
	}
	return "", nil
}

// Format returns the format of Avro records by the ids of their contracts,
// whose subjects are given. It registers the schemas, or looks them up if
// register is false. It asks until the registry answers; the error is a
// *RefusedError, or ctx has ended.
func (c *Client) Format(ctx context.Context, subjects map[schemas.Contract]string, register bool) (*schemas.Format, error) {
	ids := make(map[schemas.Contract]uint32)
	for _, contract := range schemas.Contracts() {
		subject, ok := subjects[contract]
		if !ok {
			continue
		}
		err := c.retry(ctx, func(ctx context.Context) (err error) {
			if register {
				ids[contract], err = c.registerTogether(ctx, subject, contract)
			} else {
				ids[contract], err = c.Lookup(ctx, subject, contract)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return schemas.AvroFormat(ids), nil
}

// registerTogether is Register among others who register the same schema at the
// same moment: a registry may answer all but the first of them that the subject
// exists, which a look then shows to be all that was wanted. An incompatible
// schema is not found, and stays refused.
func (c *Client) registerTogether(ctx context.Context, subject string, contract schemas.Contract) (uint32, error) {
	id, err := c.Register(ctx, subject, contract)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		if there, looked := c.Lookup(ctx, subject, contract); looked == nil {
			return there, nil
		}
	}
	return id, err
}

// Await makes the schema known by which a record was written: Writers then reads
// the record, or refuses it because the registry has no such schema. It asks
// until the registry answers; the error is that ctx has ended. Records that need
// no schema, or one that is known, cost next to nothing.
func (c *Client) Await(ctx context.Context, record []byte) error {
	id, known := c.writers.Known(record)
	if known && !c.doubtful(id) {
		return nil
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	if _, known := c.writers.Known(record); known && !c.doubtful(id) {
		return nil
	}
	return c.retry(ctx, func(ctx context.Context) error {
		err := c.find(ctx, id)
		var no *RefusedError
		if errors.As(err, &no) && no.Code != codeNoSchema {
			return errors.New(no.Error()) // credentials, say: somebody will see to it
		}
		return err
	})
}

// find asks for one id, once.
func (c *Client) find(ctx context.Context, id uint32) error {
	schema, err := c.sr.SchemaByID(ctx, int(id))
	if err != nil {
		err = refused(fmt.Sprintf("asking for schema %d", id), err)
		var no *RefusedError
		if errors.As(err, &no) && no.Code == codeNoSchema {
			c.miss(id, "the registry does not have it")
			return nil
		}
		return err
	}
	if schema.Schema == "" { // an answer, but not the registry's
		return fmt.Errorf("asking for schema %d: %w", id, errNoSchema)
	}
	var references [][]byte
	if schema.Type == sr.TypeAvro {
		var never unreadableError
		if references, err = c.references(ctx, &schema); errors.As(err, &never) {
			c.miss(id, err.Error())
			return nil
		} else if err != nil {
			return err
		}
	}
	c.mu.Lock()
	delete(c.missing, id)
	c.misses.Store(int64(len(c.missing)))
	c.mu.Unlock()
	if schema.Type != sr.TypeAvro {
		c.writers.AddMissing(id, fmt.Sprintf("is of type %v, not Avro", schema.Type))
		return nil
	}
	c.writers.Add(id, []byte(schema.Schema), references...)
	return nil
}

var errNoSchema = errors.New("the schema registry answers without a schema")

// miss remembers why records by an id cannot be read as long as the registry
// says nothing else.
func (c *Client) miss(id uint32, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.missing {
		if len(c.missing) < maxMissing {
			break
		}
		delete(c.missing, old)
		c.writers.Forget(old)
	}
	c.missing[id] = c.cfg.Now()
	c.misses.Store(int64(len(c.missing)))
	c.writers.AddMissing(id, reason)
}

// doubtful reports whether it is long ago that the registry did not have an id.
func (c *Client) doubtful(id uint32) bool {
	if c.misses.Load() == 0 || id == 0 { // 0 stands for a record that has no id
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.missing[id]
	return ok && c.cfg.Now().Sub(at) >= missingTime
}
