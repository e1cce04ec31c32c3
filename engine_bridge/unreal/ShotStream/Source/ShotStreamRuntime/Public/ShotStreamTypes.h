#pragma once

#include "CoreMinimal.h"

#include "ShotStreamTypes.generated.h"

/** What the game may do; each includes those before it. A shipped game needs no more than Trigger. */
UENUM(BlueprintType)
enum class EShotStreamRole : uint8
{
	Viewer,
	Trigger,
	Director,
	Operator
};

/** What a slow game gets: the newest picture, the newest few in order, or all. */
UENUM(BlueprintType)
enum class EShotStreamDelivery : uint8
{
	Latest,
	Queue,
	Lossless
};

UENUM(BlueprintType)
enum class EShotStreamWhen : uint8
{
	Block,
	ShotEnd,
	Now
};

UENUM(BlueprintType)
enum class EShotStreamValueType : uint8
{
	Text,
	Number,
	WholeNumber,
	YesNo
};

/** A parameter of a beat or a variable of the story; only the field of its type counts. */
USTRUCT(BlueprintType)
struct FShotStreamValue
{
	GENERATED_BODY()

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	EShotStreamValueType Type = EShotStreamValueType::Text;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	FString Text;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	double Number = 0.0;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	int64 WholeNumber = 0;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	bool YesNo = false;
};

/** How to connect. The server of this user on this machine needs nothing but its name. */
USTRUCT(BlueprintType)
struct FShotStreamOptions
{
	GENERATED_BODY()

	/** The --name of a server on this machine. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	FString ServerName = TEXT("default");

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	EShotStreamRole Role = EShotStreamRole::Trigger;

	/** tcp://IP:PORT of another machine, with the three keys; or of this one, with a token. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	FString Endpoint;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	FString Token;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	FString ServerKey;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	FString PublicKey;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	FString SecretKey;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	EShotStreamDelivery Delivery = EShotStreamDelivery::Latest;

	/** Frames that may wait at the server, for Queue; 1 to 64. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	int32 QueueFrames = 8;

	/** Off: the subsystem shows a frame only when ShowFrame is called, as a cluster of displays needs it. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", AdvancedDisplay)
	bool bShowFramesByItself = true;
};

/** News of a request, for C++ and the async node. */
struct FShotStreamNews
{
	/** What TriggerBeat, Cut and so on returned. */
	int32 Request = 0;

	/** The server took it, or the command moved on. Otherwise Reason says why it came to nothing. */
	bool bAlive = true;

	/** Its first frame is on its way to the screen. */
	bool bOnAir = false;

	/** It failed, or was shown: nothing more will come. */
	bool bDone = false;

	/** From the request's arrival at the server to its first frame, milliseconds; -1 until that is on air. */
	float LatencyMs = -1.0f;

	FString Reason;
};
