package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"handprint/engine"
	"handprint/serve/problem"
	"handprint/serve/query"
)

// Filters are the conditions of lists of identities.
type Filters struct {
	State         []string          `query:"state,explode" enum:"unknown,stable,drifting,conflicted,multi_actor" doc:"Has a row in any of these; with primitive, that row."`
	Primitive     string            `query:"primitive" maxLength:"1024" doc:"Has a row of it. Conditions on rows have to hold for one and the same row."`
	Value         string            `query:"value" maxLength:"4096" doc:"JSON; needs primitive."`
	ValuePrefix   string            `query:"value_prefix" maxLength:"256" doc:"Beginning of a text; needs primitive."`
	Domain        string            `query:"domain" maxLength:"100" doc:"First token of the primitive."`
	MinConfidence optional[float64] `query:"min_confidence" minimum:"0" maximum:"1"`
	MaxConfidence optional[float64] `query:"max_confidence" minimum:"0" maximum:"1"`
	Returns       bool              `query:"returns" doc:"Only rows with a value that came back."`
	Suspected     optional[bool]    `query:"suspected"`
	Unsettled     optional[bool]    `query:"unsettled"`
	MembersMin    int               `query:"members_min" minimum:"0"`
	ChangedSince  optional[float64] `query:"changed_since" minimum:"0" maximum:"253402300799" doc:"Unix seconds, to the end of the year 9999; the latest change of a row of the identity."`
	ChangedBefore optional[float64] `query:"changed_before" minimum:"0" maximum:"253402300799"`
	SeenSince     optional[float64] `query:"seen_since" minimum:"0" maximum:"253402300799"`
	Merged        string            `query:"merged" enum:"exclude,include,only" default:"exclude"`
	Q             string            `query:"q" maxLength:"200" doc:"Beginning of an id of an identity or an attacker or of an address, or a network in CIDR notation; at least 2 characters."`
	Sort          string            `query:"sort" enum:"-last_change,last_change,-last_seen,-unstable,-members,identity_uuid,-suspected" default:"-last_change" doc:"The id breaks ties."`
}

func (f *Filters) query() query.IdentityQuery {
	return query.IdentityQuery{
		State: f.State, Primitive: f.Primitive, Value: f.Value, ValuePrefix: f.ValuePrefix, Domain: f.Domain,
		MinConfidence: f.MinConfidence.pointer(), MaxConfidence: f.MaxConfidence.pointer(), Returns: f.Returns,
		Suspected: f.Suspected.pointer(), Unsettled: f.Unsettled.pointer(), MembersMin: f.MembersMin,
		ChangedSince: f.ChangedSince.pointer(), ChangedBefore: f.ChangedBefore.pointer(), SeenSince: f.SeenSince.pointer(),
		Merged: f.Merged, Q: f.Q, Sort: f.Sort,
	}
}

// Page is where a list goes on.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before. Any replica takes it."`
}

// Named is an identity in the path.
type Named struct {
	ID string `path:"id" minLength:"1" maxLength:"1024" doc:"Id of an identity."`
	Fresh
}

func (s *server) identities(api huma.API) {
	huma.Register(api, read("/identities", "listIdentities", "Identities that match", "identities"), func(ctx context.Context, in *struct {
		Filters
		Page
		Fresh
		Counts []string `query:"counts" enum:"states" doc:"Counts to give beside the list."`
	}) (*answer[query.IdentityList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		q := in.Filters.query()
		q.Limit, q.Cursor, q.Counts = in.Limit, in.Cursor, len(in.Counts) > 0
		list, err := s.Reader.Identities(q)
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/identities/{id}", "getIdentity", "Everything of one identity, from one snapshot", "identities"), func(ctx context.Context, in *struct {
		Named
		Follow      bool   `query:"follow" doc:"Of a merged identity the one that it stands for."`
		IfNoneMatch string `header:"If-None-Match" maxLength:"4096" doc:"ETags of answers before: 304 if it is still one of these."`
	}) (*answer[query.Identity], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		i, err := s.Reader.Identity(in.ID, in.Follow)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		tag, err := tagOf(i)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		if hasTag(in.IfNoneMatch, tag) {
			return nil, &problem.Problem{Status: http.StatusNotModified, ETag: tag}
		}
		return &answer[query.Identity]{ETag: tag, Body: *i}, nil
	})
	huma.Register(api, read("/identities/{id}/attribution", "getAttribution", "The rows of an identity", "identities"), func(ctx context.Context, in *Named) (*answer[query.Attribution], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		a, err := s.Reader.Attribution(in.ID)
		return respond(s, ctx, a, err)
	})
	huma.Register(api, read("/identities/{id}/attackers", "listMembers", "The attackers of an identity", "identities"), func(ctx context.Context, in *struct {
		Named
		Page
	}) (*answer[query.MemberList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Members(in.ID, in.Cursor, in.Limit)
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/identities/{id}/timeline", "getTimeline", "What happened to an identity, the latest first", "identities"), func(ctx context.Context, in *struct {
		Named
		Primitive string   `query:"primitive" maxLength:"1024"`
		From      float64  `query:"from" minimum:"0" maximum:"253402300799" doc:"Unix seconds, to the end of the year 9999."`
		To        float64  `query:"to" minimum:"0" maximum:"253402300799" doc:"Unix seconds, to the end of the year 9999; 0: no end."`
		Kind      []string `query:"kind,explode" enum:"state,value,suspicion,identity"`
		Limit     int      `query:"limit" minimum:"1" maximum:"500" default:"100"`
		Cursor    string   `query:"cursor" maxLength:"2048"`
	}) (*answer[query.Timeline], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		t, err := s.Reader.Timeline(query.TimelineQuery{Identity: in.ID, Primitive: in.Primitive, From: in.From, To: in.To, Kinds: in.Kind, Limit: in.Limit, Cursor: in.Cursor})
		return respond(s, ctx, t, err)
	})
	huma.Register(api, read("/identities/{id}/history", "getHistory", "Links, merges and unmerges of an identity", "identities"), func(ctx context.Context, in *Named) (*answer[query.IdentityHistory], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		h, err := s.Reader.IdentityHistory(in.ID)
		return respond(s, ctx, h, err)
	})
	huma.Register(api, read("/identities/{id}/similar", "listSimilar", "Who behaves alike; it suggests, it links nothing", "identities"), func(ctx context.Context, in *struct {
		Named
		Limit int `query:"limit" minimum:"1" maximum:"50" default:"10"`
	}) (*answer[query.PairList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Similar(ctx, in.ID, in.Limit)
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/identities/{id}/explain", "explainSuspicion", "Why an identity is suspected, or is not", "identities"), func(ctx context.Context, in *Named) (*answer[query.SuspicionExplanation], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		x, err := s.Reader.ExplainSuspicion(in.ID)
		return respond(s, ctx, x, err)
	})
	huma.Register(api, read("/identities/{id}/explain/{primitive}", "explainRow", "Why a row says what it says", "identities"), func(ctx context.Context, in *struct {
		Named
		Primitive string `path:"primitive" minLength:"1" maxLength:"1024" doc:"Name of a primitive, whole or as suspicions name it: one of more than 128 bytes is cut to 80, with ~ and 32 hexadecimal digits behind them."`
		Evidence  bool   `query:"evidence" doc:"Read the evidence references from the input topic, as far as it still has them."`
	}) (*answer[engine.Explanation], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		x, _, err := s.Reader.Explain(in.ID, in.Primitive)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		if in.Evidence && s.Evidence != nil {
			s.Evidence(ctx, x)
		}
		return &answer[engine.Explanation]{Body: *x}, nil
	})
	huma.Register(api, read("/compare", "compare", "Two identities side by side", "identities"), func(ctx context.Context, in *struct {
		A string `query:"a" required:"true" minLength:"1" maxLength:"1024"`
		B string `query:"b" required:"true" minLength:"1" maxLength:"1024"`
		Fresh
	}) (*answer[query.Comparison], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		c, err := s.Reader.Compare(in.A, in.B)
		return respond(s, ctx, c, err)
	})
	huma.Register(api, read("/attackers", "listAttackers", "Attackers by beginning of id or address, or by network", "attackers"), func(ctx context.Context, in *struct {
		Q string `query:"q" maxLength:"200"`
		Page
		Fresh
	}) (*answer[query.AttackerList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Attackers(in.Q, in.Cursor, in.Limit)
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/attackers/{id}", "getAttacker", "An attacker, by id or by an address that it alone has", "attackers"), func(ctx context.Context, in *Named) (*answer[query.Attacker], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		a, err := s.Reader.Attacker(in.ID)
		return respond(s, ctx, a, err)
	})
	huma.Register(api, read("/attackers/{id}/attribution", "getAttackerAttribution", "The rows of the identity that an attacker belongs to", "attackers"), func(ctx context.Context, in *Named) (*answer[query.Attribution], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		a, err := s.Reader.AttackerAttribution(in.ID)
		return respond(s, ctx, a, err)
	})
}
