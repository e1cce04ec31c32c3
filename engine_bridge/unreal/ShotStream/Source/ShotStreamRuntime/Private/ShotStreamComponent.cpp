#include "ShotStreamComponent.h"

#include "Components/MeshComponent.h"
#include "Engine/GameInstance.h"
#include "Engine/Texture2D.h"
#include "Engine/World.h"
#include "GameFramework/Actor.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "ShotStreamSubsystem.h"

UShotStreamSubsystem* UShotStreamComponent::Subsystem() const
{
	const UWorld* World = GetWorld();
	UGameInstance* Game = World != nullptr ? World->GetGameInstance() : nullptr;
	return Game != nullptr ? Game->GetSubsystem<UShotStreamSubsystem>() : nullptr;
}

void UShotStreamComponent::BeginPlay()
{
	Super::BeginPlay();
	UShotStreamSubsystem* Film = Subsystem();
	if (Film == nullptr)
	{
		return;
	}
	if (UMeshComponent* Mesh = GetOwner()->FindComponentByClass<UMeshComponent>())
	{
		Material = Mesh->CreateDynamicMaterialInstance(MaterialIndex);
	}
	Film->OnTextureChanged.AddDynamic(this, &UShotStreamComponent::Show);
	Show(Film->GetTexture());
	if (bConnectOnBeginPlay)
	{
		Film->Connect(Options);
	}
}

void UShotStreamComponent::EndPlay(const EEndPlayReason::Type Reason)
{
	if (UShotStreamSubsystem* Film = Subsystem())
	{
		Film->OnTextureChanged.RemoveDynamic(this, &UShotStreamComponent::Show);
	}
	Super::EndPlay(Reason);
}

void UShotStreamComponent::Show(UTexture2D* Texture)
{
	if (Material != nullptr && Texture != nullptr)
	{
		Material->SetTextureParameterValue(TextureParameter, Texture);
	}
}
