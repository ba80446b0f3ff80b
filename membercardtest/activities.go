package membercardtest

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/wechatpay-cards/membercard"
)

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
	ActivityID             int64                `json:"activity_id"`
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
	template := s.findCard(a.CardID)
	switch {
	case template == nil || template.BrandID != a.BrandID:
		return nil, in.refuse("品牌会员卡模板不存在", "there is no such template of brand_id")
	case template.State != "CARD_EFFECTIVE":
		return nil, in.refuse("品牌会员卡模板无效", "the template is invalid")
	}
	if refused := checkPeriod(a.BeginTime, a.EndTime); refused != nil {
		return nil, refused
	}
	if slices.ContainsFunc(s.activities, func(other *activity) bool {
		return other.CardID == a.CardID && other.answer().ActivityState == "MEMBERSHIP_ACTIVITY_EFFECTIVE"
	}) {
		return nil, in.refuse("该会员卡模板已有生效中的活动", "the template has an activity in effect")
	}
	s.effects[effect{in.operation, a.OutRequestNo}]++
	now := formatTime(time.Now())
	a.ActivityID, a.ApplyAvailable, a.CreateTime, a.ModifyTime = newActivityID(), a.ApplyTotal, now, now
	a.BeginTime, a.EndTime = inOneForm(a.BeginTime), inOneForm(a.EndTime)
	s.activities = append(s.activities, &a)
	return a.answer(), nil
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
		ActivityID: cmp.Or(a.ActivityID, newActivityID()), CreateTime: formatTime(now), ModifyTime: formatTime(now),
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

// newActivityID returns a number as the samples have it.
func newActivityID() int64 {
	id, err := strconv.ParseInt(newCode()[:12], 10, 64)
	if err != nil {
		panic(err)
	}
	return id + 1
}

func (s *Server) requireActivity(in input, brandID string) (*activity, *problem) {
	for _, a := range s.activities {
		switch {
		case strconv.FormatInt(a.ActivityID, 10) != in.path["activity_id"]:
		case a.BrandID != brandID:
			return nil, in.refuse("没有该活动的访问权限", "the activity is of another brand")
		default:
			return a, nil
		}
	}
	return nil, in.refuse("活动不存在", "there is no activity with this activity_id")
}

func (s *Server) getActivity(in input) (any, *problem) {
	a, refused := s.requireActivity(in, in.query["brand_id"])
	if refused != nil {
		return nil, refused
	}
	return a.answer(), nil
}

func (s *Server) updateActivity(in input) (any, *problem) {
	change := decode[activity](in)
	a, refused := s.requireActivity(in, change.BrandID)
	if refused != nil {
		return nil, refused
	}
	if refused := checkPeriod(change.BeginTime, change.EndTime); refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["activity_id"]}]++
	if refused := mustGoOn(in, a); refused != nil {
		return nil, refused
	}
	a.Title, a.SubTitle, a.BeginTime, a.EndTime = change.Title, change.SubTitle, inOneForm(change.BeginTime), inOneForm(change.EndTime)
	a.ModifyTime = formatTime(time.Now())
	return a.answer(), nil
}

func mustGoOn(in input, a *activity) *problem {
	switch state := a.answer().ActivityState; state {
	case "MEMBERSHIP_ACTIVITY_TERMINATED", "MEMBERSHIP_ACTIVITY_EXPIRED":
		return in.unknown("活动已结束", "the activity is over: "+state)
	}
	return nil
}

func (s *Server) terminateActivity(in input) (any, *problem) {
	a, refused := s.requireActivity(in, in.id("brand_id"))
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["activity_id"]}]++
	if refused := mustGoOn(in, a); refused != nil {
		return nil, refused
	}
	a.ActivityState, a.ModifyTime = "MEMBERSHIP_ACTIVITY_TERMINATED", formatTime(time.Now())
	return a.answer(), nil
}
