package membercard

import (
	"context"
	"iter"
	"strconv"
)

// Activity offers coupons to those who join (入会有礼活动). What has no comment here is as in
// [CreateActivityRequest].
type Activity struct {
	OutRequestNo           string               `json:"out_request_no"`
	BrandID                string               `json:"brand_id"`
	CardID                 string               `json:"card_id"`
	ActivityChannel        ActivityChannel      `json:"activity_channel"`
	Title                  string               `json:"title"`
	SubTitle               string               `json:"sub_title"`
	BeginTime              Timestamp            `json:"begin_time,omitzero"`
	EndTime                Timestamp            `json:"end_time,omitzero"`
	ApplyTotal             int                  `json:"apply_total"`     // coupons in all
	ApplyAvailable         int                  `json:"apply_available"` // coupons left
	ProductCouponStockList []ProductCouponStock `json:"product_coupon_stock_list,omitzero"`
	ActivityID             int64                `json:"activity_id"` // given by WeChat Pay, a number
	ActivityState          ActivityState        `json:"activity_state"`
	CreateTime             Timestamp            `json:"create_time,omitzero"`
	ModifyTime             Timestamp            `json:"modify_time,omitzero"`
}

func (a *Activity) isFinal() bool { return a.ActivityState == ActivityStateTerminated }

// ProductCouponStock is a stock of coupons (商品券批次).
type ProductCouponStock struct {
	ProductCouponID string `json:"product_coupon_id"` // the coupon
	StockID         string `json:"stock_id"`          // its stock
}

// ActivityChannel is where an activity is shown (活动渠道).
type ActivityChannel string

// ActivityChannelMerchantAppComponent is the joining component in the merchant's mini program or H5 page.
// The service spells it without the first R of merchant.
const ActivityChannelMerchantAppComponent ActivityChannel = "MECHANT_APP_COMPONENT"

// ActivityState is the state of an activity (活动状态).
type ActivityState string

// The states of an activity.
const (
	ActivityStateCreated    ActivityState = "MEMBERSHIP_ACTIVITY_CREATED"    // not started
	ActivityStateEffective  ActivityState = "MEMBERSHIP_ACTIVITY_EFFECTIVE"  // started
	ActivityStateTerminated ActivityState = "MEMBERSHIP_ACTIVITY_TERMINATED" // ended by TerminateActivity
	ActivityStateExpired    ActivityState = "MEMBERSHIP_ACTIVITY_EXPIRED"    // past its end
)

// CreateActivityRequest describes a new activity. All fields are required; the package comment says what the
// identifiers are.
type CreateActivityRequest struct {
	OutRequestNo           string               `json:"out_request_no" in:"body"` // at most 128 characters of A-Z a-z 0-9 - _; identifies the creation
	BrandID                string               `json:"brand_id" in:"body"`
	CardID                 string               `json:"card_id" in:"body"`
	ActivityChannel        ActivityChannel      `json:"activity_channel" in:"body"` // where it is shown (活动渠道)
	Title                  string               `json:"title" in:"body"`            // at most 128 characters
	SubTitle               string               `json:"sub_title" in:"body"`        // at most 128 characters
	BeginTime              Timestamp            `json:"begin_time" in:"body"`
	EndTime                Timestamp            `json:"end_time" in:"body"`
	ApplyTotal             int                  `json:"apply_total" in:"body"`               // coupons in all, less than the smallest of the stocks
	ProductCouponStockList []ProductCouponStock `json:"product_coupon_stock_list" in:"body"` // what is given
}

// CreateActivity creates an activity whose coupons are shown when the joining component opens (创建会员有礼活动). ApplyTotal
// must be smaller than the smallest stock of the coupons; a template has one activity in effect.
//
// [ErrAlreadyExists] means that the template has an activity in effect, which can be the one that this call made:
// after [ErrOutcomeUnknown] look with [Client.AllActivities] for the OutRequestNo before calling again, for a second
// call before the activity begins may make another. [ErrInvalidRequest] means that there is no such template, or that
// it is invalid.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). Retried automatically after a rate limit, or when
// it is certain that nothing was sent. Document 4016464918.
func (c *Client) CreateActivity(ctx context.Context, request CreateActivityRequest) (*Activity, error) {
	return createActivity.call(ctx, c, request)
}

// ListActivitiesRequest asks for the activities of one brand.
type ListActivitiesRequest struct {
	BrandID       string        `json:"brand_id" in:"query"`                 // required
	CardID        string        `json:"card_id,omitempty" in:"query"`        // only of this template; empty: all
	ActivityState ActivityState `json:"activity_state,omitempty" in:"query"` // only in this state; empty: all
	Offset        int           `json:"offset" in:"query"`                   // records to skip
	Limit         int           `json:"limit" in:"query"`                    // page size, 1 to 20; 0 sends 20
}

// ListActivitiesResponse is one page of activities.
type ListActivitiesResponse struct {
	Data       []Activity `json:"data,omitzero"`
	TotalCount int        `json:"total_count"`
	Offset     int        `json:"offset"`
	Limit      int        `json:"limit"`
}

// ListActivities lists the activities of a brand (查询会员有礼活动列表), one page. [Client.AllActivities] walks through all
// pages. [ErrInvalidParameter] means a Limit beyond 20, or an invalid brand, template or state.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). A read: retried automatically. Document 4016588039.
func (c *Client) ListActivities(ctx context.Context, request ListActivitiesRequest) (*ListActivitiesResponse, error) {
	if request.Limit == 0 {
		request.Limit = defaultLimit
	}
	return listActivities.call(ctx, c, request)
}

// AllActivities iterates over the activities of a brand (查询会员有礼活动列表) from request.Offset on. It makes one [Client.ListActivities]
// call for each page when it is needed, with its limit and retries. The first error ends it. Ranging again starts over. What is
// added or removed meanwhile can shift the pages. Document 4016588039.
func (c *Client) AllActivities(ctx context.Context, request ListActivitiesRequest) iter.Seq2[*Activity, error] {
	return all(request.Offset, request.Limit, func(offset int) ([]Activity, int, error) {
		request := request
		request.Offset = offset
		page, err := c.ListActivities(ctx, request)
		if err != nil {
			return nil, 0, err
		}
		return page.Data, page.TotalCount, nil
	}, func(activity *Activity) string { return strconv.FormatInt(activity.ActivityID, 10) })
}

// GetActivityRequest names an activity. All fields are required.
type GetActivityRequest struct {
	ActivityID int64  `json:"activity_id" in:"path"`
	BrandID    string `json:"brand_id" in:"query"`
}

// GetActivity reads an activity (查询会员有礼活动). [ErrNotFound] means that there is none with this id, [ErrForbidden] that
// it is another brand's.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). A read: retried automatically. Document 4016588015.
func (c *Client) GetActivity(ctx context.Context, request GetActivityRequest) (*Activity, error) {
	return getActivity.call(ctx, c, request)
}

// UpdateActivityRequest replaces what can be changed of an activity. All fields are required.
type UpdateActivityRequest struct {
	ActivityID int64     `json:"activity_id" in:"path"`
	BrandID    string    `json:"brand_id" in:"body"`
	Title      string    `json:"title" in:"body"`     // at most 128 characters
	SubTitle   string    `json:"sub_title" in:"body"` // at most 128 characters
	BeginTime  Timestamp `json:"begin_time" in:"body"`
	EndTime    Timestamp `json:"end_time" in:"body"`
}

// UpdateActivity changes an activity (修改会员有礼活动): all four values each time, it is no partial change. Stock and
// coupons cannot be changed.
//
// [ErrNotFound] means that there is none with this id, [ErrForbidden] that it is another brand's. After
// [ErrOutcomeUnknown] read the activity, or send the same request again.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). Retried automatically with identical bytes.
// Document 4016588044.
func (c *Client) UpdateActivity(ctx context.Context, request UpdateActivityRequest) (*Activity, error) {
	return updateActivity.call(ctx, c, request)
}

// TerminateActivityRequest names the activity to end. All fields are required.
type TerminateActivityRequest struct {
	ActivityID int64  `json:"activity_id" in:"path"`
	BrandID    string `json:"brand_id" in:"body"`
}

// TerminateActivity ends an activity (终止会员有礼活动): it is shown no more, the joining component goes on working. As far
// as is documented this cannot be undone.
//
// [ErrNotFound] means that there is none with this id, [ErrForbidden] that it is another brand's. After
// [ErrOutcomeUnknown] read the activity: [ActivityStateTerminated] means it was done.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). Irreversible: retried only when it is certain that
// nothing was sent. Document 4016588028.
func (c *Client) TerminateActivity(ctx context.Context, request TerminateActivityRequest) (*Activity, error) {
	return terminateActivity.call(ctx, c, request)
}
