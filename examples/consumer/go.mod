module example.com/consumer

go 1.26.0

require github.com/wechatpay-cards/membercard v0.0.0

require github.com/wechatpay-apiv3/wechatpay-go v0.2.21 // indirect

replace github.com/wechatpay-cards/membercard => ../../
