package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"handprint/serve/guard"
	"handprint/serve/query"
)

type whoami struct {
	Name   string `json:"name"`
	Role   string `json:"role" enum:"read,export,operate"`
	Method string `json:"method" enum:"token,oidc,certificate,loopback"`
}

type version struct {
	Version string `json:"version"`
	API     string `json:"api" enum:"v1"`
}

type auditList struct {
	Items []guard.AuditLine `json:"items"`
}

func (s *server) lists(api huma.API) {
	huma.Register(api, read("/primitives", "listPrimitives", "The registry, with rows by state", "values"), func(ctx context.Context, in *Fresh) (*answer[query.PrimitiveList], error) {
		if err := s.meet(ctx, in); err != nil {
			return nil, err
		}
		list, err := s.Reader.Primitives()
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/primitives/{primitive}/values", "listValues", "Values of a primitive, with how many have them", "values"), func(ctx context.Context, in *struct {
		Primitive string `path:"primitive" minLength:"1" maxLength:"1024" doc:"Name of a primitive."`
		Prefix    string `query:"prefix" maxLength:"256"`
		Sort      string `query:"sort" enum:"-holders,value" default:"-holders"`
		Page
		Fresh
	}) (*answer[query.ValueList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Values(query.ValuesQuery{Primitive: in.Primitive, Prefix: in.Prefix, ByText: in.Sort == "value", Limit: in.Limit, Cursor: in.Cursor})
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/values", "getValue", "How common a value is", "values"), func(ctx context.Context, in *struct {
		Primitive string `query:"primitive" required:"true" minLength:"1" maxLength:"1024"`
		Value     string `query:"value" required:"true" minLength:"1" maxLength:"4096" doc:"JSON."`
		Fresh
	}) (*answer[query.ValueInfo], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		v, err := s.Reader.Value(in.Primitive, in.Value)
		return respond(s, ctx, v, err)
	})
	huma.Register(api, read("/suspicions", "listSuspicions", "Suspicions, the newest first", "suspicions"), func(ctx context.Context, in *struct {
		Status        []string `query:"status,explode" enum:"raised,grown,cleared,replaced"`
		Current       bool     `query:"current" doc:"Only suspicions that hold now."`
		MinConfidence float64  `query:"min_confidence" minimum:"0" maximum:"1"`
		Identity      string   `query:"identity" maxLength:"1024"`
		Since         float64  `query:"since" minimum:"0" maximum:"253402300799" doc:"Unix seconds, to the end of the year 9999."`
		Before        float64  `query:"before" minimum:"0" maximum:"253402300799" doc:"Unix seconds, to the end of the year 9999."`
		Page
		Fresh
	}) (*answer[query.SuspicionList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Suspicions(query.SuspicionQuery{
			Status: in.Status, Current: in.Current, MinConfidence: in.MinConfidence, Identity: in.Identity, Since: in.Since, Before: in.Before, Limit: in.Limit, Cursor: in.Cursor,
		})
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/suggestions", "listSuggestions", "Pairs that may be the same hands, by bits", "suspicions"), func(ctx context.Context, in *struct {
		MinScore float64 `query:"min_score" minimum:"0"`
		Limit    int     `query:"limit" minimum:"1" maximum:"200" default:"50"`
		Fresh
	}) (*answer[query.PairList], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		list, err := s.Reader.Suggestions(in.MinScore, in.Limit)
		return respond(s, ctx, list, err)
	})
	huma.Register(api, read("/search", "search", "One box: ids, addresses, primitives, values", "search"), func(ctx context.Context, in *struct {
		Q string `query:"q" required:"true" minLength:"2" maxLength:"200"`
		Fresh
	}) (*answer[query.SearchResult], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		found, err := s.Reader.Search(in.Q)
		return respond(s, ctx, found, err)
	})
	huma.Register(api, read("/overview", "getOverview", "Totals, and what changed lately", "search"), func(ctx context.Context, in *struct {
		Window float64 `query:"window" minimum:"60" maximum:"604800" default:"3600" doc:"Seconds."`
		Fresh
	}) (*answer[query.Overview], error) {
		if err := s.meet(ctx, &in.Fresh); err != nil {
			return nil, err
		}
		o, err := s.Reader.Overview(time.Duration(in.Window * float64(time.Second)))
		return respond(s, ctx, o, err)
	})
	huma.Register(api, read("/whoami", "whoami", "Who the credentials are of", "about"), func(ctx context.Context, _ *struct{}) (*answer[whoami], error) {
		me := guard.SubjectOf(ctx)
		return &answer[whoami]{Body: whoami{me.Name, string(me.Role), me.Method}}, nil
	})
	huma.Register(api, read("/version", "getVersion", "What runs here", "about"), func(context.Context, *struct{}) (*answer[version], error) {
		return &answer[version]{Body: version{s.Version, "v1"}}, nil
	})
	huma.Register(api, read("/audit", "listAudit", "Who did what by this API, the newest first (role operate)", "operations"), func(_ context.Context, in *struct {
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}) (*answer[auditList], error) {
		return &answer[auditList]{Body: auditList{s.Audit.Recent(in.Limit)}}, nil
	})
}
