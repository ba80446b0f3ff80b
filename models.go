package membercard

// Card is a card template (会员卡模板): what a brand offers its customers. Users hold a [UserCard]
// made from it. [Client.ListCards] returns it; the official field table is document 4015336976.
type Card struct {
	OutRequestNo         string        `json:"out_request_no"` // merchant request number (商家请求单号) given at creation
	CardID               string        `json:"card_id"`        // template id (会员卡模板ID)
	BrandID              string        `json:"brand_id"`       // owner of the card (品牌ID)
	AppID                string        `json:"appid"`          // merchant AppID (商家AppID); openids of this card's users belong to it
	CardType             CardType      `json:"card_type"`
	CardTitle            string        `json:"card_title"`       // card name (卡名称), at most 10 characters
	CardColor            string        `json:"card_color"`       // background colour (卡背景颜色), #RRGGBB
	CardPictureURL       string        `json:"card_picture_url"` // background picture (卡图片), from the image upload only
	CodeMode             CodeMode      `json:"code_mode"`        // who allocates card codes
	CodeType             CodeType      `json:"code_type"`        // how the code is shown
	CodeJumpInformation  *CodeJumpInfo `json:"code_jump_information,omitempty"`
	Benefits             string        `json:"benefits"`                     // member benefits (会员权益), display text
	NotifyURL            string        `json:"notify_url"`                   // where card events are posted (回调地址)
	NeedPinned           bool          `json:"need_pinned,omitempty"`        // pinned on the brand's page (是否置顶)
	NeedDisplayLevel     bool          `json:"need_display_level,omitempty"` // the member level is shown (是否展示会员等级)
	InitLevel            string        `json:"init_level,omitempty"`         // level of new members (会员初始等级)
	ServicePhone         string        `json:"service_phone,omitempty"`      // service phone (服务电话), plain text
	LegalAgreement       string        `json:"legal_agreement,omitempty"`    // merchant agreement (商家法务协议)
	ValidDateInformation DateInfo      `json:"valid_date_information"`
	MemberInformation    *MemberInfo   `json:"member_information,omitempty"`
	PointsInformation    *PointsInfo   `json:"points_information,omitempty"`
	BalanceInformation   *BalanceInfo  `json:"balance_information,omitempty"`
	PurchaseInformation  *PurchaseInfo `json:"purchase_information,omitempty"`
	UserInformation      *UserInfoForm `json:"user_information,omitempty"`
	State                CardState     `json:"state"`
	CreateTime           Timestamp     `json:"create_time,omitzero"`
	ModifyTime           Timestamp     `json:"modify_time,omitzero"`
}

// UserCard is a user's membership card (用户会员卡), made from a [Card] template. The official field
// table is document 4015336980. PhoneNumber and the answers in UserInformation are personal data:
// they stay encrypted until [Client.Decrypt] decrypts them.
type UserCard struct {
	UserCardCode         string        `json:"user_card_code"`             // card code (会员卡code), unique within one template
	CardID               string        `json:"card_id"`                    // template id (会员卡模板ID)
	OpenID               string        `json:"openid"`                     // the user under the template's AppID (用户标识)
	CardColor            string        `json:"card_color,omitempty"`       // background colour (卡背景颜色), #RRGGBB
	CardPictureURL       string        `json:"card_picture_url,omitempty"` // background picture (卡图片)
	BrandID              string        `json:"brand_id"`                   // owner of the card (品牌ID)
	CardType             CardType      `json:"card_type"`
	PhoneNumber          Sensitive     `json:"phone_number,omitzero"` // present when the user authorised it or the merchant passed it in
	Level                string        `json:"level,omitempty"`       // member level (等级), free display text
	ValidDateInformation DateInfo      `json:"valid_date_information"`
	PickupTime           Timestamp     `json:"pickup_time,omitzero"` // when the user took the card (领取时间)
	UserInformation      *UserInfo     `json:"user_information,omitempty"`
	Attach               string        `json:"attach,omitempty"` // merchant data (商家数据包), not shown to the user
	UserCardState        UserCardState `json:"user_card_state"`
	InvalidReason        string        `json:"invalid_reason,omitempty"` // reason given at invalidation (作废原因)
	InvalidTime          Timestamp     `json:"invalid_time,omitzero"`    // when it was invalidated (作废时间)
	CreateTime           Timestamp     `json:"create_time,omitzero"`
	ModifyTime           Timestamp     `json:"modify_time,omitzero"`
}

func (c *Card) isFinal() bool     { return c.State == CardStateInvalid }
func (c *UserCard) isFinal() bool { return c.UserCardState == UserCardStateInvalid }

// DateInfo is a period of validity (会员卡有效期). A card past it is [UserCardStateExpired]. Whether a
// relative one counts from the receipt of the card or from its activation, the sources do not agree.
type DateInfo struct {
	Type                     DateType  `json:"type,omitempty"`
	AvailableBeginTime       Timestamp `json:"available_begin_time,omitzero"`         // with DateTypeFixTimeRange
	AvailableEndTime         Timestamp `json:"available_end_time,omitzero"`           // with DateTypeFixTimeRange
	AvailableDayAfterReceive *int      `json:"available_day_after_receive,omitempty"` // with DateTypeFixTerm: natural days, 1 to 10958
}

// CodeJumpInfo is the mini program (会员码跳转信息) that shows the code of a [CodeTypeJumpMiniProgram] card.
type CodeJumpInfo struct {
	JumpAppID string `json:"jump_appid,omitempty"` // mini program AppID
	JumpPath  string `json:"jump_path,omitempty"`  // page path, such as /pages/code/code
}

// MemberInfo is the member centre (会员中心信息), where a tap on the card leads.
type MemberInfo struct {
	JumpAppID string `json:"jump_appid,omitempty"` // mini program AppID
	JumpPath  string `json:"jump_path,omitempty"`  // page path
}

// PointsInfo is the entry to the user's points (积分信息).
type PointsInfo struct {
	JumpAppID string `json:"jump_appid,omitempty"` // mini program AppID
	JumpPath  string `json:"jump_path,omitempty"`  // page path
}

// BalanceInfo is the entry to the user's stored value (储值信息).
type BalanceInfo struct {
	JumpAppID string `json:"jump_appid,omitempty"` // mini program AppID
	JumpPath  string `json:"jump_path,omitempty"`  // page path
}

// PurchaseInfo is the entry to paid membership (付费会员信息).
type PurchaseInfo struct {
	Price     *int   `json:"price,omitempty"`      // in fen (分)
	JumpAppID string `json:"jump_appid,omitempty"` // mini program AppID
	JumpPath  string `json:"jump_path,omitempty"`  // page path
}

// UserInfoForm is what a template asks of a user who opens a card (开卡信息). The same JSON name in a
// user card holds the answers: [UserInfo].
type UserInfoForm struct {
	CommonFieldList []CommonFieldFlag     `json:"common_field_list,omitzero"`
	CustomFieldList []UserCustomFieldForm `json:"custom_field_list,omitzero"` // at most one
}

// UserCustomFieldForm is a question of the merchant's own (商家自定义的开卡信息字段).
type UserCustomFieldForm struct {
	Type   CustomFieldType `json:"type"`
	Name   string          `json:"name"`
	Values []string        `json:"values,omitzero"` // the choices, at most 10
}

// UserInfo is what a user answered when opening a card (用户开卡时填写的个人信息). In a request a nil list
// is left alone and an empty one is sent as [].
type UserInfo struct {
	CommonFieldList []UserInfoCommonField `json:"common_field_list,omitzero"`
	CustomFieldList []UserInfoCustomField `json:"custom_field_list,omitzero"` // at most one
}

// UserInfoCommonField is the answer to a question of the platform's (平台提供的通用开卡信息字段).
type UserInfoCommonField struct {
	Name  CommonFieldFlag `json:"name"`
	Value Sensitive       `json:"value"`
}

// UserInfoCustomField is the answer to a question of the merchant's own (商家自定义的开卡信息字段).
type UserInfoCustomField struct {
	Name             string      `json:"name"` // as in UserCustomFieldForm
	UserChosenValues []Sensitive `json:"user_chosen_values,omitzero"`
}

// The enums of this package are open: a value the service adds later survives a round trip.

// CardType is the kind of a card (会员卡类型).
type CardType string

// The kinds of card. Only CardTypeNormal works today; the service announced the others.
const (
	CardTypeNormal   CardType = "NORMAL"   // ordinary (普通)
	CardTypePurchase CardType = "PURCHASE" // paid (付费)
	CardTypeBalance  CardType = "BALANCE"  // stored value (储值)
)

// CardState is the state of a template (会员卡状态).
type CardState string

// The states of a template.
const (
	CardStateEffective CardState = "CARD_EFFECTIVE" // in effect (生效中)
	CardStateInvalid   CardState = "CARD_INVALID"   // invalidated (已失效)
)

// CodeMode says who allocates the codes of a template's cards (会员卡code分配类型): WeChat Pay or the merchant.
type CodeMode string

// The ways of allocation.
const (
	CodeModeSystemAllocate   CodeMode = "SYSTEM_ALLOCATE"   // WeChat Pay: 24 digits (系统分配)
	CodeModeMerchantAllocate CodeMode = "MERCHANT_ALLOCATE" // the merchant, when confirming the opening (商家分配)
)

// CodeType says how a card's code is shown (会员码型).
type CodeType string

// The ways to show a code.
const (
	CodeTypeNoneCode         CodeType = "NONE_CODE"            // not at all (不显示任何码型)
	CodeTypeBarCode          CodeType = "BAR_CODE"             // barcode (条形码)
	CodeTypeQRCode           CodeType = "QR_CODE"              // QR code (二维码)
	CodeTypeBarCodeAndQRCode CodeType = "BAR_CODE_AND_QR_CODE" // both (条形码和二维码)
	CodeTypeJumpMiniProgram  CodeType = "JUMP_MINI_PROGRAM"    // in the merchant's mini program (跳转商家小程序)
)

// DateType is the kind of a [DateInfo] (有效期类型).
type DateType string

// The kinds of validity.
const (
	DateTypeFixTimeRange DateType = "FIX_TIME_RANGE" // from a begin to an end (固定时间范围内有效)
	DateTypeFixTerm      DateType = "FIX_TERM"       // for a number of days (相对时间范围内有效)
	DateTypePermanent    DateType = "PERMANENT"      // for ever (永久有效)
)

// CommonFieldFlag names a question of the platform's (平台提供的通用开卡信息字段). The phone number is not
// among them, it has a field of its own.
type CommonFieldFlag string

// The platform's questions.
const (
	CommonFieldFlagSex      CommonFieldFlag = "USER_FORM_FLAG_SEX"      // gender (性别)
	CommonFieldFlagName     CommonFieldFlag = "USER_FORM_FLAG_NAME"     // name (姓名)
	CommonFieldFlagBirthday CommonFieldFlag = "USER_FORM_FLAG_BIRTHDAY" // birthday (生日)
	CommonFieldFlagAddress  CommonFieldFlag = "USER_FORM_FLAG_ADDRESS"  // address (地址)
	CommonFieldFlagEmail    CommonFieldFlag = "USER_FORM_FLAG_EMAIL"    // e-mail (邮箱)
	CommonFieldFlagCity     CommonFieldFlag = "USER_FORM_FLAG_CITY"     // city (城市)
)

// CustomFieldType is the kind of a merchant's own question (商家自定义的开卡信息字段类型).
type CustomFieldType string

// The kinds of question.
const (
	CustomFieldTypeCheckBox CustomFieldType = "CHECK_BOX" // several choices (自定义多选)
	CustomFieldTypeRadio    CustomFieldType = "RADIO"     // one choice (自定义单选)
)

// UserCardState is the state of a user's card (用户会员卡状态): UNACTIVATED, EFFECTIVE, EXPIRED or INVALID.
type UserCardState string

// The states of a user's card.
const (
	UserCardStateUnactivated UserCardState = "UNACTIVATED" // taken, not yet activated (已领卡,但还未激活)
	UserCardStateEffective   UserCardState = "EFFECTIVE"   // usable (可正常使用)
	UserCardStateExpired     UserCardState = "EXPIRED"     // past its validity (已过期)
	UserCardStateInvalid     UserCardState = "INVALID"     // invalidated, which is final (已失效)
)

// UserCardConfirmState says how opening a card went (会员开卡状态): success, failure, or that the user had joined elsewhere.
type UserCardConfirmState string

// The outcomes of opening a card.
const (
	UserCardConfirmStateSuccess       UserCardConfirmState = "CREATE_CARD_SUCCESS"        // opened (开卡成功)
	UserCardConfirmStateFail          UserCardConfirmState = "CREATE_CARD_FAIL"           // not opened (开卡失败)
	UserCardConfirmStateAlreadyExists UserCardConfirmState = "CREATE_CARD_ALREADY_EXISTS" // the user had joined elsewhere (已在其他渠道入会)
)
