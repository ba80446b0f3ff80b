package membercard

import (
	"context"
	"iter"
	"net/http"
)

// OperationListCards is [Client.ListCards] and each page of [Client.AllCards]. 5 requests a second and
// merchant number (page of 2025.08.01).
const OperationListCards Operation = "ListCards"

var listCards = &operation{
	name: OperationListCards, method: http.MethodGet,
	path: "/v3/brand/partner/card-member/cards", repeat: read,
}

// ListCardsRequest asks for the templates of one brand.
type ListCardsRequest struct {
	BrandID string    `json:"brand_id" in:"query"`        // required
	State   CardState `json:"state,omitempty" in:"query"` // only templates in this state; empty: all
	Offset  int       `json:"offset" in:"query"`          // records to skip
	Limit   int       `json:"limit" in:"query"`           // page size, 1 to 20; 0 sends 20
}

// ListCardsResponse is one page of templates.
type ListCardsResponse struct {
	Data       []Card `json:"data,omitempty"`
	TotalCount int    `json:"total_count"`
	Offset     int    `json:"offset"`
	Limit      int    `json:"limit"`
}

// ListCards lists the card templates of a brand (查询会员卡模板列表), one page. [Client.AllCards] walks
// through all pages.
//
// Rate limit: 5 a second and merchant number (2025.08.01). A read: repeated automatically.
// Document 4015336976.
func (c *Client) ListCards(ctx context.Context, request ListCardsRequest) (*ListCardsResponse, error) {
	if request.Limit == 0 {
		request.Limit = defaultLimit
	}
	return call[ListCardsResponse](ctx, c, listCards, request)
}

// AllCards iterates over the card templates of a brand from request.Offset on, making one
// [Client.ListCards] call a page when it is needed. The first error ends it. Ranging again starts over.
func (c *Client) AllCards(ctx context.Context, request ListCardsRequest) iter.Seq2[*Card, error] {
	return func(yield func(*Card, error) bool) {
		request := request
		for {
			page, err := c.ListCards(ctx, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Data {
				if !yield(&page.Data[i], nil) {
					return
				}
			}
			request.Offset += len(page.Data)
			if len(page.Data) == 0 || request.Offset >= page.TotalCount {
				return
			}
		}
	}
}
