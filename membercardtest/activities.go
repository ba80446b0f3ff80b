package membercardtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// activityState returns the state that time gives an activity.
func activityState(a document) string {
	now := time.Now()
	switch {
	case a.text("activity_state") == "MEMBERSHIP_ACTIVITY_TERMINATED":
		return "MEMBERSHIP_ACTIVITY_TERMINATED"
	case now.Before(a.time("begin_time")):
		return "MEMBERSHIP_ACTIVITY_CREATED"
	case now.Before(a.time("end_time")):
		return "MEMBERSHIP_ACTIVITY_EFFECTIVE"
	}
	return "MEMBERSHIP_ACTIVITY_EXPIRED"
}

// currentActivity returns an activity with the state that it has now.
func currentActivity(a document) document { return a.with("activity_state", activityState(a)) }

func checkPeriod(in input) *problem {
	if !in.time("begin_time").Before(in.time("end_time")) {
		return paramError("body", "/end_time", in.text("end_time"), "must be after begin_time")
	}
	return nil
}

func (s *Server) createActivity(in input) (document, *problem) {
	template := s.findCard(in.text("card_id"))
	switch {
	case template == nil || template.text("brand_id") != in.text("brand_id"):
		return nil, in.refusal("品牌会员卡模板不存在", "there is no such template of brand_id")
	case template.text("state") != "CARD_EFFECTIVE":
		return nil, in.refusal("品牌会员卡模板无效", "the template is invalid")
	}
	if refused := checkPeriod(in); refused != nil {
		return nil, refused
	}
	if slices.ContainsFunc(s.activities, func(other document) bool {
		return other.text("card_id") == in.text("card_id") && activityState(other) == "MEMBERSHIP_ACTIVITY_EFFECTIVE"
	}) {
		return nil, in.refusal("该会员卡模板已有生效中的活动", "the template has an activity in effect")
	}
	s.effects[effect{in.operation, in.text("out_request_no")}]++
	now := formatTime(time.Now())
	a := in.changes()
	a.merge(document{"activity_id": newActivityID(), "apply_available": a["apply_total"], "create_time": now, "modify_time": now})
	s.activities = append(s.activities, a)
	return currentActivity(a), nil
}

// AddActivity adds an activity. An empty ActivityID is made, and an empty period is the next hour; an empty CardID means the template
// added last. Its state follows from the period, unless it is terminated. It returns the activity as it was added, and panics when
// there is one with this ActivityID, or no such template of the brand.
func (s *Server) AddActivity(a membercard.Activity) membercard.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if a.CardID == "" && len(s.cards) > 0 {
		a.CardID = s.cards[len(s.cards)-1].text("card_id")
	}
	template := s.findCard(a.CardID)
	if template == nil || a.BrandID != "" && a.BrandID != template.text("brand_id") {
		panic("membercardtest: AddActivity: there is no such template of this brand")
	}
	added := documentOf(answerRows(membercard.OperationGetActivity), a)
	if a.ApplyAvailable == 0 {
		added["apply_available"] = jsonNumber(a.ApplyTotal)
	}
	if a.ActivityID == 0 {
		added["activity_id"] = newActivityID()
	}
	for name, value := range map[string]string{
		"out_request_no": fmt.Sprintf("100002322019090134234act%d", len(s.activities)), "title": "入会享券", "sub_title": "满减券",
		"brand_id": template.text("brand_id"), "activity_channel": "MECHANT_APP_COMPONENT", "begin_time": formatTime(now),
		"create_time": formatTime(now), "modify_time": formatTime(now),
	} {
		added.setDefault(name, value)
	}
	added.setDefault("end_time", formatTime(added.time("begin_time").Add(time.Hour)))
	if slices.ContainsFunc(s.activities, func(other document) bool { return other.number("activity_id") == added.number("activity_id") }) {
		panic("membercardtest: AddActivity: there is an activity with this ActivityID")
	}
	s.activities = append(s.activities, added)
	return valueOf[membercard.Activity](currentActivity(added))
}

// Activities returns all activities in the order they were added.
func (s *Server) Activities() []membercard.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var activities []membercard.Activity
	for _, a := range s.activities {
		activities = append(activities, valueOf[membercard.Activity](currentActivity(a)))
	}
	return activities
}

func (s *Server) listActivities(in input) (document, *problem) {
	var found []document
	for _, a := range s.activities {
		state, cardID := in.query["activity_state"], in.query["card_id"]
		if a.text("brand_id") == in.query["brand_id"] && (cardID == "" || a.text("card_id") == cardID) &&
			(state == "" || activityState(a) == state) {
			found = append(found, currentActivity(a))
		}
	}
	return in.page(found), nil
}

// newActivityID returns a number as the samples have it.
func newActivityID() json.Number {
	id, err := strconv.ParseInt(newCode()[:12], 10, 64)
	if err != nil {
		panic(err)
	}
	return jsonNumber(id + 1)
}

func (s *Server) requireActivity(in input) (document, *problem) {
	for _, a := range s.activities {
		switch {
		case fmt.Sprint(a["activity_id"]) != in.path["activity_id"]:
		case a.text("brand_id") != in.id("brand_id"):
			return nil, in.refusal("没有该活动的访问权限", "the activity is of another brand")
		default:
			return a, nil
		}
	}
	return nil, in.refusal("活动不存在", "there is no activity with this activity_id")
}

func (s *Server) getActivity(in input) (document, *problem) {
	a, refused := s.requireActivity(in)
	if refused != nil {
		return nil, refused
	}
	return currentActivity(a), nil
}

func (s *Server) updateActivity(in input) (document, *problem) {
	a, refused := s.requireActivity(in)
	if refused != nil {
		return nil, refused
	}
	if refused := checkPeriod(in); refused != nil {
		return nil, refused
	}
	return s.changeActivity(in, a, in.changes())
}

func (s *Server) terminateActivity(in input) (document, *problem) {
	a, refused := s.requireActivity(in)
	if refused != nil {
		return nil, refused
	}
	return s.changeActivity(in, a, document{"activity_state": "MEMBERSHIP_ACTIVITY_TERMINATED"})
}

// changeActivity changes an activity that is not over.
func (s *Server) changeActivity(in input, a, change document) (document, *problem) {
	s.effects[effect{in.operation, in.path["activity_id"]}]++
	switch state := activityState(a); state {
	case "MEMBERSHIP_ACTIVITY_TERMINATED", "MEMBERSHIP_ACTIVITY_EXPIRED":
		return nil, in.ownRefusal("活动已结束", "the activity is over: "+state)
	}
	a.merge(change.with("modify_time", formatTime(time.Now())))
	return currentActivity(a), nil
}
