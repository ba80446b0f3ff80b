package membercard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// places returns where contested parameters are, and where they could be.
func (r *request) places() (here, there string) {
	if r.inQuery {
		return "query", "body"
	}
	return "body", "query"
}

// isMisplaced reports whether an error says that a contested parameter is not known where it was, or missing where it
// was not. It returns the name of the parameter.
func (r *request) isMisplaced(detail *ErrorDetail) (name string, misplaced bool) {
	here, there := r.places()
	for _, p := range r.parameters {
		if p.place == p.older || detail == nil {
			continue
		}
		if slices.Contains(detail.pointers(), "/"+here+"/"+p.name) || detail.place() == there && strings.TrimPrefix(detail.Field, "/") == p.name {
			return p.name, true
		}
	}
	return "", false
}

// placementAdvice returns what to do about an unsigned error that says so, which the client does not follow by itself.
func (r *request) placementAdvice(detail *ErrorDetail) string {
	name, misplaced := r.isMisplaced(detail)
	_, there := r.places()
	switch {
	case !misplaced:
		return ""
	case r.inQuery:
		return fmt.Sprintf("if WeChat Pay says so, it wants %s in the %s: remove %s from Config.IDsInQuery", name, there, r.name)
	}
	return fmt.Sprintf("if WeChat Pay says so, it wants %s in the %s: add %s to Config.IDsInQuery", name, there, r.name)
}

// isInQuery reports where contested parameters of an operation go.
func (c *Client) isInQuery(op *operation) bool {
	inQuery, contested := c.inQuery[op]
	return contested && inQuery.Load()
}

// showsPlacement reports whether the service has read the parameters where they were: it did what was asked, or refused that for what
// they say.
func (v verdict) showsPlacement() bool {
	return v.answer.trust == proven && !v.outcomeUnknown &&
		(v.err == nil || errors.Is(v.err, ErrNotFound) || errors.Is(v.err, ErrInvalidRequest) || errors.Is(v.err, ErrAlreadyExists))
}

// keepPlacement remembers the place that the service has accepted after it refused the other one.
func (c *Client) keepPlacement(ctx context.Context, r *request) {
	c.inQuery[r.operation].Store(r.inQuery)
	advice := "add the operation to Config.IDsInQuery"
	if !r.inQuery {
		advice = "remove the operation from Config.IDsInQuery"
	}
	here, _ := r.places()
	c.logger.WarnContext(ctx, "wechatpay placement", "operation", string(r.name), "ids_in", here, "advice", advice)
}
