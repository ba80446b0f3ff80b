package membercardtest

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/wechatpay-cards/membercard"
)

func activityRoutes() []*route {
	activityID := parameter{name: "activity_id", required: true, max: 32}
	values := []parameter{
		{name: "title", required: true, max: 128},
		{name: "sub_title", required: true, max: 128},
		{name: "begin_time", required: true, max: 32, time: true},
		{name: "end_time", required: true, max: 32, time: true},
	}
	optionalCard := cardID
	optionalCard.required = false
	return []*route{
		{
			operation: membercard.OperationCreateActivity, method: http.MethodPost, path: pathOf("membership-activities"),
			body: append([]parameter{
				outRequestNo, brandID, cardID,
				{name: "activity_channel", required: true, enum: []string{"MECHANT_APP_COMPONENT"}},
				{name: "apply_total", kind: integer, required: true, min: 1},
				{name: "product_coupon_stock_list", kind: list, required: true, members: []parameter{
					{name: "product_coupon_id", required: true, max: 64}, {name: "stock_id", required: true, max: 64},
				}},
			}, values...),
			handle: (*Server).createActivity,
		},
		{
			operation: membercard.OperationListActivities, method: http.MethodGet, path: pathOf("membership-activities"),
			query: []parameter{
				brandID, optionalCard,
				{name: "activity_state", enum: []string{
					"MEMBERSHIP_ACTIVITY_CREATED", "MEMBERSHIP_ACTIVITY_EFFECTIVE", "MEMBERSHIP_ACTIVITY_TERMINATED", "MEMBERSHIP_ACTIVITY_EXPIRED",
				}},
				offset, limit,
			},
			handle: (*Server).listActivities,
		},
		{
			operation: membercard.OperationGetActivity, method: http.MethodGet, path: pathOf("membership-activities/{activity_id}"),
			pathIn: []parameter{activityID}, query: []parameter{brandID}, handle: (*Server).getActivity,
		},
		{
			operation: membercard.OperationUpdateActivity, method: http.MethodPatch, path: pathOf("membership-activities/{activity_id}"),
			pathIn: []parameter{activityID}, body: append([]parameter{brandID}, values...), replaces: true,
			handle: (*Server).updateActivity,
		},
		{
			operation: membercard.OperationTerminateActivity, method: http.MethodPost, path: pathOf("membership-activities/{activity_id}/terminate"),
			pathIn: []parameter{activityID}, body: []parameter{brandID}, handle: (*Server).terminateActivity,
		},
	}
}

type activity struct {
	OutRequestNo           string               `json:"out_request_no"`
	BrandID                string               `json:"brand_id"`
	CardID                 string               `json:"card_id"`
	ActivityChannel        string               `json:"activity_channel"`
	Title                  string               `json:"title"`
	SubTitle               string               `json:"sub_title"`
	BeginTime              string               `json:"begin_time"`
	EndTime                string               `json:"end_time"`
	ApplyTotal             int                  `json:"apply_total"`
	ApplyAvailable         int                  `json:"apply_available"`
	ProductCouponStockList []productCouponStock `json:"product_coupon_stock_list"`
	ActivityID             string               `json:"activity_id"`
	ActivityState          string               `json:"activity_state"`
	CreateTime             string               `json:"create_time"`
	ModifyTime             string               `json:"modify_time"`
}

type productCouponStock struct {
	ProductCouponID string `json:"product_coupon_id"`
	StockID         string `json:"stock_id"`
}

// answer returns the activity with the state that time gives it.
func (a *activity) answer() activity {
	answered, now := *a, time.Now()
	switch {
	case a.ActivityState == "MEMBERSHIP_ACTIVITY_TERMINATED":
	case now.Before(parseTime(a.BeginTime)):
		answered.ActivityState = "MEMBERSHIP_ACTIVITY_CREATED"
	case now.Before(parseTime(a.EndTime)):
		answered.ActivityState = "MEMBERSHIP_ACTIVITY_EFFECTIVE"
	default:
		answered.ActivityState = "MEMBERSHIP_ACTIVITY_EXPIRED"
	}
	return answered
}

func checkPeriod(begin, end string) *problem {
	if !parseTime(begin).Before(parseTime(end)) {
		return paramError("body", "/end_time", end, "must be after begin_time")
	}
	return nil
}

func (s *Server) createActivity(in input) (any, *problem) {
	a := decode[activity](in)
	if _, refused := s.requireCard(a.CardID, a.BrandID); refused != nil {
		return nil, refused
	}
	if refused := checkPeriod(a.BeginTime, a.EndTime); refused != nil {
		return nil, refused
	}
	if len(a.ProductCouponStockList) == 0 {
		return nil, paramError("body", "/product_coupon_stock_list", nil, "must not be empty")
	}
	made, refused := s.under(membercard.OperationCreateActivity, a.OutRequestNo, in, func() (any, *problem) {
		s.effects[effect{membercard.OperationCreateActivity, a.OutRequestNo}]++
		now := formatTime(time.Now())
		a.ActivityID, a.ApplyAvailable, a.CreateTime, a.ModifyTime = newCode()[:12], a.ApplyTotal, now, now
		s.activities = append(s.activities, &a)
		return &a, nil
	})
	if refused != nil {
		return nil, refused
	}
	return made.(*activity).answer(), nil
}

// AddActivity adds an activity. An empty ActivityID is made, and an empty period is the next hour. Its
// state follows from the period, unless it is terminated. It returns the activity as it was added, and
// panics when there is one with this ActivityID.
func (s *Server) AddActivity(a membercard.Activity) membercard.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	brandID, begin := "1004", cmp.Or(a.BeginTime, membercard.Timestamp{Time: now})
	if template := s.findCard(a.CardID); template != nil {
		brandID = template.BrandID
	}
	added := &activity{
		OutRequestNo: a.OutRequestNo, BrandID: cmp.Or(a.BrandID, brandID), CardID: a.CardID, ActivityState: string(a.ActivityState),
		ActivityChannel: cmp.Or(string(a.ActivityChannel), "MECHANT_APP_COMPONENT"),
		Title:           a.Title, SubTitle: a.SubTitle,
		BeginTime:  formatTime(begin.Time),
		EndTime:    cmp.Or(formatTime(a.EndTime.Time), formatTime(begin.Add(time.Hour))),
		ApplyTotal: a.ApplyTotal, ApplyAvailable: a.ApplyAvailable,
		ActivityID: cmp.Or(a.ActivityID, newCode()[:12]), CreateTime: formatTime(now), ModifyTime: formatTime(now),
	}
	for _, stock := range a.ProductCouponStockList {
		added.ProductCouponStockList = append(added.ProductCouponStockList, productCouponStock{stock.ProductCouponID, stock.StockID})
	}
	if slices.ContainsFunc(s.activities, func(other *activity) bool { return other.ActivityID == added.ActivityID }) {
		panic("membercardtest: AddActivity: there is an activity with this ActivityID")
	}
	s.activities = append(s.activities, added)
	return added.export()
}

// Activities returns all activities in the order they were added.
func (s *Server) Activities() []membercard.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var activities []membercard.Activity
	for _, a := range s.activities {
		activities = append(activities, a.export())
	}
	return activities
}

func (a *activity) export() membercard.Activity {
	answered := a.answer()
	exported := membercard.Activity{
		OutRequestNo: a.OutRequestNo, BrandID: a.BrandID, CardID: a.CardID,
		ActivityChannel: membercard.ActivityChannel(a.ActivityChannel), Title: a.Title, SubTitle: a.SubTitle,
		BeginTime: exportTime(a.BeginTime), EndTime: exportTime(a.EndTime), ApplyTotal: a.ApplyTotal, ApplyAvailable: a.ApplyAvailable,
		ActivityID: a.ActivityID, ActivityState: membercard.ActivityState(answered.ActivityState),
		CreateTime: exportTime(a.CreateTime), ModifyTime: exportTime(a.ModifyTime),
	}
	for _, stock := range a.ProductCouponStockList {
		exported.ProductCouponStockList = append(exported.ProductCouponStockList, membercard.ProductCouponStock{
			ProductCouponID: stock.ProductCouponID, StockID: stock.StockID,
		})
	}
	return exported
}

func (s *Server) listActivities(in input) (any, *problem) {
	var found []activity
	for _, a := range s.activities {
		answered, state, cardID := a.answer(), in.query["activity_state"], in.query["card_id"]
		if a.BrandID == in.query["brand_id"] && (cardID == "" || a.CardID == cardID) && (state == "" || answered.ActivityState == state) {
			found = append(found, answered)
		}
	}
	return paginate(found, in), nil
}

func (s *Server) requireActivity(id, brandID string) (*activity, *problem) {
	for _, a := range s.activities {
		if a.ActivityID == id && a.BrandID == brandID {
			return a, nil
		}
	}
	return nil, notFound("活动不存在", false)
}

func (s *Server) getActivity(in input) (any, *problem) {
	a, refused := s.requireActivity(in.path["activity_id"], in.query["brand_id"])
	if refused != nil {
		return nil, refused
	}
	return a.answer(), nil
}

func (s *Server) updateActivity(in input) (any, *problem) {
	change := decode[activity](in)
	a, refused := s.requireActivity(in.path["activity_id"], change.BrandID)
	if refused != nil {
		return nil, refused
	}
	if refused := checkPeriod(change.BeginTime, change.EndTime); refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationUpdateActivity, a.ActivityID}]++
	if refused := mustGoOn(a); refused != nil {
		return nil, refused
	}
	a.Title, a.SubTitle, a.BeginTime, a.EndTime = change.Title, change.SubTitle, change.BeginTime, change.EndTime
	a.ModifyTime = formatTime(time.Now())
	return a.answer(), nil
}

func mustGoOn(a *activity) *problem {
	switch state := a.answer().ActivityState; state {
	case "MEMBERSHIP_ACTIVITY_TERMINATED", "MEMBERSHIP_ACTIVITY_EXPIRED":
		return invalidRequest("活动已结束", "the activity is over: "+state)
	}
	return nil
}

func (s *Server) terminateActivity(in input) (any, *problem) {
	a, refused := s.requireActivity(in.path["activity_id"], in.id("brand_id"))
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationTerminateActivity, a.ActivityID}]++
	if refused := mustGoOn(a); refused != nil {
		return nil, refused
	}
	a.ActivityState, a.ModifyTime = "MEMBERSHIP_ACTIVITY_TERMINATED", formatTime(time.Now())
	return a.answer(), nil
}
