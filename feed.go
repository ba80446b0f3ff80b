package membercard

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CellTemplate is the number of a text for feed entries (动态模板编号). x and y are its variables; SUB is a text of the merchant's
// own that was applied for, named by its sub-template id. Document 4015534755.
type CellTemplate int

// The texts of feed entries.
const (
	CellTemplateOpenMembership    CellTemplate = 0  // invites to open the membership
	CellTemplatePointsEarned      CellTemplate = 1  // this time +x points
	CellTemplatePointsOnReceipt   CellTemplate = 2  // +x points after receipt of the goods
	CellTemplatePointsSubmitted   CellTemplate = 3  // the points of this purchase are submitted
	CellTemplateSpendToRise       CellTemplate = 4  // spend x yuan more to rise to SUB
	CellTemplateSpendToKeep       CellTemplate = 5  // spend x yuan more to keep SUB
	CellTemplatePointsWorthCoupon CellTemplate = 6  // x points, worth a y-yuan coupon
	CellTemplatePointsWorthMoney  CellTemplate = 7  // x points, worth y yuan off
	CellTemplatePointsForCoupon   CellTemplate = 8  // points can be exchanged for an x-yuan coupon
	CellTemplatePointsForGift     CellTemplate = 9  // x points, can be exchanged for SUB
	CellTemplateBuyBenefit        CellTemplate = 10 // x yuan buys SUB
	CellTemplateMonthlySaving     CellTemplate = 11 // x a month, saves up to y
	CellTemplateYearlySaving      CellTemplate = 12 // x a year, saves up to y
	CellTemplateMonthlyPaysOff    CellTemplate = 13 // x a month, pays off with one order
	CellTemplateBuyCoupons        CellTemplate = 14 // x yuan buys y SUB coupons
	CellTemplateBuyDiscounted     CellTemplate = 15 // from x, discounted, buys y yuan SUB
	CellTemplateBenefitExpires    CellTemplate = 16 // SUB expires in x days
	CellTemplateDaysLeft          CellTemplate = 17 // x days left
)

// cellPlaces are the places of each template in the order of its text: x and y are values, S is the id of a SUB.
var cellPlaces = []string{"", "x", "x", "", "xS", "xS", "xy", "xy", "x", "xS", "xS", "xy", "xy", "x", "xyS", "xyS", "Sx", "x"}

// Cell returns the content of a feed entry, such as 4_100_S1: the template, and a value for each of its places in the
// order of its text. An error says which value is missing, or cannot be written: one that is empty, or has one of the
// characters _ [ ], or an id of more than 7 characters.
func (t CellTemplate) Cell(values ...string) (string, error) {
	if t < 0 || int(t) >= len(cellPlaces) {
		return "", fmt.Errorf("membercard: Cell: there is no documented template %d", t)
	}
	places := cellPlaces[t]
	if len(values) != len(places) {
		return "", fmt.Errorf("membercard: Cell: template %d has %d places, not %d", t, len(places), len(values))
	}
	var cell strings.Builder
	cell.WriteString(strconv.Itoa(int(t)))
	for i, value := range values {
		switch {
		case value == "":
			return "", fmt.Errorf("membercard: Cell: value %d is empty", i+1)
		case strings.ContainsAny(value, "_[]"):
			return "", fmt.Errorf("membercard: Cell: value %d holds one of the characters _ [ ], which a cell cannot have", i+1)
		case places[i] == 'S' && utf8.RuneCountInString(value) > 7:
			return "", fmt.Errorf("membercard: Cell: value %d is the id of a text, of at most 7 characters", i+1)
		}
		cell.WriteString("_" + value)
	}
	return cell.String(), nil
}

// CreateUserFeedRequest describes a feed entry. All fields are required.
type CreateUserFeedRequest struct {
	BrandID      string `json:"brand_id" in:"body"`
	CardID       string `json:"card_id" in:"body"`
	UserCardCode string `json:"user_card_code" in:"body,personal"`
	OpenID       string `json:"openid" in:"body,personal"`
	OutRequestNo string `json:"out_request_no" in:"body"` // at most 64 characters here, of A-Z a-z 0-9 - _; identifies the entry
	Cell         string `json:"cell" in:"body"`           // from CellTemplate.Cell, at most 128 characters
}

// UserFeed is an entry of a member's feed (用户动态), with the fields of [CreateUserFeedRequest].
type UserFeed struct {
	BrandID      string `json:"brand_id"`
	CardID       string `json:"card_id"`
	UserCardCode string `json:"user_card_code"`
	OpenID       string `json:"openid,omitempty"` // not in every source
	OutRequestNo string `json:"out_request_no"`
	Cell         string `json:"cell"`
}

// CreateUserFeed shows news of a membership, for purchases that were not paid with WeChat Pay (创建用户动态).
//
// A retry is refused with [ErrAlreadyExists], which can mean that the first call was carried out: after [ErrOutcomeUnknown] send
// the same request again, which makes no second entry. [ErrForbidden] means that the template of the feed was not granted, and
// [ErrInvalidParameter] that the Cell is invalid. [ErrInvalidRequest] can mean that the user is no member, that the template is
// invalid, or that the openid is.
//
// Rate limit: 10 a second for each merchant number (2025.11.14). Retried automatically after a rate limit, or when
// it is certain that nothing was sent. Document 4015336987.
func (c *Client) CreateUserFeed(ctx context.Context, request CreateUserFeedRequest) (*UserFeed, error) {
	return createUserFeed.call(ctx, c, request)
}
