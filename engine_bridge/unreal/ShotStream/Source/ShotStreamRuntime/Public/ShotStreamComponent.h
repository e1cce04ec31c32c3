#pragma once

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "ShotStreamTypes.h"

#include "ShotStreamComponent.generated.h"

class UMaterialInstanceDynamic;
class UShotStreamSubsystem;
class UTexture2D;

/**
 * Shows the film on a material of its actor's first mesh, and connects when the game begins. The material needs a texture
 * parameter.
 */
UCLASS(ClassGroup = "ShotStream", meta = (BlueprintSpawnableComponent))
class SHOTSTREAMRUNTIME_API UShotStreamComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	/** Off: something else calls Connect of the subsystem. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	bool bConnectOnBeginPlay = true;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream", meta = (EditCondition = "bConnectOnBeginPlay"))
	FShotStreamOptions Options;

	/** Of the texture in the material. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	FName TextureParameter = TEXT("Film");

	/** Which material of the mesh. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "ShotStream")
	int32 MaterialIndex = 0;

protected:
	virtual void BeginPlay() override;
	virtual void EndPlay(const EEndPlayReason::Type Reason) override;

private:
	UFUNCTION()
	void Show(UTexture2D* Texture);

	UShotStreamSubsystem* Subsystem() const;

	UPROPERTY(Transient)
	TObjectPtr<UMaterialInstanceDynamic> Material = nullptr;
};
