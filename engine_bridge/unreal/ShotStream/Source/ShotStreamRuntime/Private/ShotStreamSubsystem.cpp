#include "ShotStreamSubsystem.h"

#include "Engine/Texture2D.h"
#include "ShotStreamText.h"
#include "Stats/Stats.h"

DEFINE_LOG_CATEGORY_STATIC(LogShotStream, Log, All);

static_assert(int(EShotStreamRole::Operator) == SHS_ROLE_OPERATOR && int(EShotStreamRole::Viewer) == SHS_ROLE_VIEWER, "role");
static_assert(int(EShotStreamDelivery::Lossless) == SHS_MODE_LOSSLESS && int(EShotStreamDelivery::Queue) == SHS_MODE_QUEUE, "delivery");
static_assert(int(EShotStreamWhen::Now) == SHS_WHEN_NOW && int(EShotStreamWhen::ShotEnd) == SHS_WHEN_SHOT_END, "when");

namespace
{
UTexture2D* MakeTexture(int32 Width, int32 Height)
{
	UTexture2D* Texture = UTexture2D::CreateTransient(Width, Height, PF_B8G8R8A8);
	Texture->SRGB = true;
	Texture->NeverStream = true;
	Texture->UpdateResource();
	return Texture;
}

/** Hands pixels to the render thread, which frees them once it has copied them. */
void Upload(UTexture2D& Texture, uint8* Pixels, uint32 Stride)
{
	FUpdateTextureRegion2D* Region = new FUpdateTextureRegion2D(0, 0, 0, 0, Texture.GetSizeX(), Texture.GetSizeY());
	Texture.UpdateTextureRegions(0, 1, Region, Stride, 4, Pixels,
		[](uint8* Done, const FUpdateTextureRegion2D* DoneRegion)
		{
			FMemory::Free(Done);
			delete DoneRegion;
		});
}
}

bool UShotStreamSubsystem::Connect(const FShotStreamOptions& Options)
{
	Disconnect();
	shs_client_config Config;
	shs_result Result = shs_client_config_init(&Config, sizeof(Config), SHS_ABI_VERSION);
	if (Result == SHS_OK)
	{
		FShotStreamTexts Texts;
		Config.server_name = Options.Endpoint.IsEmpty() ? Texts.Add(Options.ServerName) : nullptr;
		Config.ctl_endpoint = Texts.Add(Options.Endpoint);
		Config.token = Texts.Add(Options.Token);
		Config.curve_server_key = Texts.Add(Options.ServerKey);
		Config.curve_public_key = Texts.Add(Options.PublicKey);
		Config.curve_secret_key = Texts.Add(Options.SecretKey);
		Config.engine = "unreal";
		Config.role = uint32(Options.Role);
		Config.pixel_format = SHS_FORMAT_BGRA8;
		Config.origin = SHS_ORIGIN_TOP_LEFT;
		Config.delivery = uint32(Options.Delivery);
		Config.queue_frames = uint32(Options.QueueFrames);
		Result = shs_client_create(&Config, &Client);
	}
	if (Result != SHS_OK)
	{
		UE_LOG(LogShotStream, Error, TEXT("cannot connect: %s"), UTF8_TO_TCHAR(shs_result_name(Result)));
		return false;
	}
	bShowFramesByItself = Options.bShowFramesByItself;
	return true;
}

void UShotStreamSubsystem::Disconnect()
{
	shs_client_destroy(Client);
	Client = nullptr;
}

void UShotStreamSubsystem::Deinitialize()
{
	Disconnect();
	Super::Deinitialize();
}

bool UShotStreamSubsystem::IsConnected() const
{
	shs_stats Stats = {};
	Stats.struct_size = sizeof(Stats);
	return Client != nullptr && shs_client_stats(Client, &Stats) == SHS_OK && Stats.connected != 0;
}

FString UShotStreamSubsystem::GetLastError() const
{
	char Text[1024] = {};
	if (Client == nullptr || shs_client_last_error(Client, Text, sizeof(Text), nullptr) != SHS_OK)
	{
		return FString();
	}
	return FString(UTF8_TO_TCHAR(Text));
}

// --- commands ---------------------------------------------------------------------------------------------------

int32 UShotStreamSubsystem::Sent(int32 Result, uint32 Request)
{
	if (Result == SHS_OK)
	{
		return int32(Request);
	}
	UE_LOG(LogShotStream, Warning, TEXT("not sent: %s %s"), UTF8_TO_TCHAR(shs_result_name(Result)), *GetLastError());
	return 0;
}

int32 UShotStreamSubsystem::TriggerBeat(const FString& Beat, const TMap<FString, FShotStreamValue>& Parameters)
{
	FShotStreamTexts Texts;
	const TArray<shs_param> List = Texts.Parameters(Parameters);
	uint32 Request = 0;
	const int32 Result = shs_trigger(Client, Texts.Keep(Beat), List.GetData(), uint32(List.Num()), &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::SetVariables(const TMap<FString, FShotStreamValue>& Variables)
{
	FShotStreamTexts Texts;
	const TArray<shs_param> List = Texts.Parameters(Variables);
	uint32 Request = 0;
	const int32 Result = shs_set_variables(Client, List.GetData(), uint32(List.Num()), &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::Cut(const FString& Text, int64 Seed, int32 Frames, EShotStreamWhen When)
{
	FShotStreamTexts Texts;
	uint32 Request = 0;
	const int32 Result = shs_cut(Client, Texts.Keep(Text), Seed, uint32(Frames), uint32(When), &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::Prompt(const FString& Text)
{
	FShotStreamTexts Texts;
	uint32 Request = 0;
	const int32 Result = shs_prompt(Client, Texts.Keep(Text), &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::Hold(bool bHeld)
{
	uint32 Request = 0;
	const int32 Result = shs_control(Client, bHeld ? SHS_CONTROL_HOLD : SHS_CONTROL_RESUME, 0, 0, &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::Checkpoint(const FString& Name)
{
	FShotStreamTexts Texts;
	uint32 Request = 0;
	const int32 Result = shs_checkpoint(Client, Texts.Keep(Name), &Request);
	return Sent(Result, Request);
}

int32 UShotStreamSubsystem::Restore(const FString& Name)
{
	FShotStreamTexts Texts;
	uint32 Request = 0;
	const int32 Result = shs_restore(Client, Texts.Keep(Name), &Request);
	return Sent(Result, Request);
}

// --- every tick -------------------------------------------------------------------------------------------------

void UShotStreamSubsystem::Tick(float DeltaTime)
{
	shs_event Event = {};
	Event.struct_size = sizeof(Event);
	while (Client != nullptr && shs_event_next(Client, &Event) == SHS_OK) // a listener may disconnect
	{
		Tell(Event);
	}
	if (bShowFramesByItself)
	{
		ShowFrame(0);
	}
}

ETickableTickType UShotStreamSubsystem::GetTickableTickType() const
{
	return IsTemplate() ? ETickableTickType::Never : ETickableTickType::Conditional;
}

TStatId UShotStreamSubsystem::GetStatId() const
{
	RETURN_QUICK_DECLARE_CYCLE_STAT(UShotStreamSubsystem, STATGROUP_Tickables);
}

int64 UShotStreamSubsystem::ShowFrame(int64 MinFrame)
{
	shs_frame Frame = {};
	Frame.struct_size = sizeof(Frame);
	if (Client == nullptr || shs_frame_acquire(Client, uint64(MinFrame), 0, &Frame) != SHS_OK)
	{
		return -1;
	}
	const uint32 Stride = Frame.width * 4;
	const uint64 Size = uint64(Stride) * Frame.height;
	uint8* Pixels = static_cast<uint8*>(FMemory::Malloc(Size));
	const bool bWhole = shs_frame_copy(Client, &Frame, Pixels, Stride, Size) == SHS_OK;
	shs_frame_release(Client, &Frame);
	if (!bWhole) // the server overwrote it meanwhile; the next one is near
	{
		FMemory::Free(Pixels);
		return -1;
	}
	if (Texture == nullptr || Texture->GetSizeX() != int32(Frame.width) || Texture->GetSizeY() != int32(Frame.height))
	{
		Texture = MakeTexture(int32(Frame.width), int32(Frame.height));
		OnTextureChanged.Broadcast(Texture);
	}
	Upload(*Texture, Pixels, Stride);
	OnFrame.Broadcast(int64(Frame.frame_id), int32(Frame.shot_id));
	return int64(Frame.frame_id);
}

void UShotStreamSubsystem::Tell(const shs_event& Event)
{
	const FString Text = FString(UTF8_TO_TCHAR(Event.text));
	FShotStreamNews News;
	News.Request = int32(Event.request_id);
	switch (Event.type)
	{
	case SHS_EVENT_CONNECTED:
		OnConnectionChanged.Broadcast(true, FString());
		break;
	case SHS_EVENT_DISCONNECTED:
		OnConnectionChanged.Broadcast(false, Text);
		break;
	case SHS_EVENT_STREAM:
		if (Event.code != SHS_OK)
		{
			UE_LOG(LogShotStream, Error, TEXT("no frames: %s"), *Text);
		}
		break;
	case SHS_EVENT_ANSWER:
		News.bAlive = Event.code == SHS_OK;
		News.bDone = !News.bAlive;
		News.Reason = Text;
		OnRequestNews.Broadcast(News);
		break;
	case SHS_EVENT_STATE:
		News.bAlive = Event.code != SHS_STATE_FAILED && Event.code != SHS_STATE_SUPERSEDED;
		News.bOnAir = Event.code == SHS_STATE_ON_AIR || Event.code == SHS_STATE_PRESENTED;
		News.bDone = !News.bAlive || Event.code == SHS_STATE_PRESENTED;
		News.LatencyMs = Event.latency_ms[SHS_STATE_ON_AIR];
		News.Reason = Text;
		OnRequestNews.Broadcast(News);
		break;
	case SHS_EVENT_SHOT_START:
		OnShotStarted.Broadcast(int32(Event.shot_id), Event.frame_id);
		break;
	default:
		break;
	}
}
