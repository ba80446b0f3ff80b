// Package membercard is a client of WeChat Pay's brand membership cards (微信支付 商家名片会员, 品牌会员卡). It is for service providers (服务商),
// and for brands (品牌商户) that call for themselves.
//
// A brand offers card templates ([Card]); a user who joins holds a [UserCard]. One [Client], made by
// [New], serves one merchant number:
//
//	client, err := membercard.New(membercard.Config{
//		MchID:             "1900009191",
//		CertificateSerial: membercard.CertificateSerial(certificate), // apiclient_cert.pem
//		PrivateKey:        privateKey,                                // apiclient_key.pem
//		PublicKeyID:       "PUB_KEY_ID_...",
//		PublicKey:         publicKey, // pub_key.pem
//	})
//	card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{...})
//
// There is no sandbox for this service. Package membercardtest is a fake of it for your tests.
//
// # Operations
//
// Each method names its official page by the document id; the page is https://pay.weixin.qq.com/doc/v3/partner/ followed by
// that id. The pages are followed as their text was on 2026-08-08; membercardtest/contract has them as data.
//
//	templates    CreateCard              4015336970
//	             ListCards, AllCards     4015336976
//	             GetCard                 4015336974
//	             UpdateCard              4015336977
//	             InvalidateCard          4015336972
//	user cards   ListUserCards,
//	             AllUserCards            4015336984
//	             GetUserCard             4015336980
//	             UpdateUserCard          4015336985
//	             InvalidateUserCard      4015336983
//	             ConfirmUserCard         4015336979
//	             ImportUserCardByOpenID  4015336981
//	             ImportUserCardByPhone   4015336982, withdrawn
//	points       SyncUserPoints          4015897280
//	             ConfirmPointsExchange   4015897268
//	feed         CreateUserFeed          4015336987
//	components   CreatePreAuthToken      4015336986
//	             CreatePayViewToken      4016834476, withdrawn
//	activities   CreateActivity          4016464918
//	             ListActivities,
//	             AllActivities           4016588039
//	             GetActivity             4016588015
//	             UpdateActivity          4016588044
//	             TerminateActivity       4016588028
//	pictures     UploadImage             4015900513
//	keys         SecurityEcho            4015139289
//
// A user who joins through a component opens a card that is unactivated until the merchant answers the notification of it with
// [Client.ConfirmUserCard]; members the merchant has already are imported. A second creation is refused, also under the same
// request number (OutRequestNo). The refusal can mean that the first call was carried out.
//
// Identifiers are strings even where they consist of digits; only an ActivityID is a number. They are BrandID (品牌ID), at most 32
// characters; CardID (会员卡模板ID), of a template, at most 32; UserCardCode (会员卡code), unique within one template, at most 32 digits,
// Latin letters and half-width punctuation; OpenID (用户标识), the user under the AppID of the template, not under another AppID of
// the merchant's or the service provider's, at most 128. Lengths are in characters.
//
// The struct tag `in` of a request's field says where the parameter travels: path, query or body, or body|query for those that
// [Config].IDsInQuery moves. The word personal in it marks what no error text quotes. A method's comment names the documented
// rate limit with the date that its official page has.
//
// # Editions
//
// A service provider (服务商) calls for brands, by its merchant number: [Config].MchID. A brand (品牌商户) can call for itself:
// [Config].BrandID. Types and methods are the same, keys and certificates are not. The brand edition has neither the activities
// nor SecurityEcho, ImportUserCardByPhone, CreatePayViewToken and platform certificates. EDITIONS.md says what differs and what
// is unsure.
//
// # Notifications
//
// WeChat Pay posts what users do to the NotifyURL of the template: a card was opened or deleted, points are
// to be exchanged for a coupon, the points balance is asked for. [Client.NotificationHandler] is the handler
// for it: it verifies, decrypts, calls a function of yours with a [Notification], and answers in time.
// [Client.ParseNotification] is the first half of that for programs with a server of another kind. Both
// need [Config].APIv3Key, and the body as it came: put no middleware before them that reads it, nor a proxy
// that removes the Wechatpay- headers. Give each merchant number a path of its own in NotifyURL, since nothing in a
// notification says in clear whose it is. Work that takes longer than the answer may take is stored as [Notification].Body,
// still encrypted, and read again with [Client.OpenNotification].
//
// # Keys
//
// Two pairs of keys are at work. The merchant API certificate's private key signs requests and decrypts sensitive values; when it
// changes, make a new client with the old key among [Config].PreviousKeys. A running program keeps its client in an
// atomic.Pointer; a NotificationHandler belongs to one client, so look it up for each request. WeChat Pay's keys verify answers
// and notifications and encrypt sensitive values: the WeChat Pay public key, which stays, or platform certificates, which the
// client downloads and replaces by itself. While a merchant number moves from platform certificates to the public key, configure
// PublicKey and APIv3Key: each answer and notification is verified with the key it names, and [Config].PreferCertificates says
// which kind the requests ask for. [Client.Check] says in words what is wrong with a configuration.
//
// # What a call does
//
// It validates the request, encrypts the sensitive values, and encodes the request once. Each attempt then waits for
// [Config].Throttle, and signs with a fresh time and nonce exactly the bytes it sends. At most 4 MiB of a success with signature
// headers are read, and 64 KiB of anything else. The signature is verified over the bytes as they came, before anything looks at
// them. The answer must be to this request: the identifiers in both are compared. Redirects are not followed. A client starts no
// goroutine but that of a download of platform certificates, which ends within 5 s.
//
// The client refuses before sending only what it can be sure of. A required text, time or list must not be empty, and a
// change needs a field. A path value must not change the route. Text must be readable for the service, and a sensitive
// value short enough to be encrypted. Lengths, enums and page sizes are the service's to refuse, since its pages change.
//
// # Personal data
//
// Phone numbers and users' answers are of type [Sensitive]: encrypted in requests, still encrypted in answers until
// [Client.Decrypt] decrypts them, and never printed. Log records hold no value of a request, and of an answer the status, the
// code and the Request-ID; of a notification its id and type. Error texts quote the service's message, with the request's openid,
// card code and sensitive values cut out. One of less than six characters is cut out where it stands alone. With
// GODEBUG=fips140=only Go refuses the SHA-1 that the service demands for this encryption, so sensitive values cannot be used
// there.
//
// # Errors and retries
//
// What the service answered is an [*APIError]; an answer that does not prove to come from WeChat Pay is a [*SignatureError], and
// nothing of it is used. Use errors.Is with [ErrNotFound], [ErrRateLimited] and their like to decide. Most operations on templates
// and cards answer [ErrInvalidRequest] where the brand does not have the membership function (商家未开通商家名片会员功能). An error
// matches [ErrOutcomeUnknown] exactly when a write may have been carried out despite it: the method's comment says what to do
// then.
//
// Failed attempts are retried after a while, as [RetryPolicy] says, where it is safe. Reads, and writes
// that set values, are retried after any failure that may pass. Irreversible calls are retried only when
// the transport's trace events prove that nothing was sent. After a connection failed the next attempt
// goes to the backup host. net/http is kept from sending a request again by itself once all of it was written.
//
// # Compatibility
//
// Exported names and their meaning stay within a major version; before version 1 they change in minor
// versions only. New fields, constants and methods may come at any time, so use field names in struct
// literals. membercardtest may become stricter in a minor version, where the service turns out to be.
package membercard
