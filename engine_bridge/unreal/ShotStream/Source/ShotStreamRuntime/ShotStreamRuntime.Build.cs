using UnrealBuildTool;

public class ShotStreamRuntime : ModuleRules
{
    public ShotStreamRuntime(ReadOnlyTargetRules Target) : base(Target)
    {
        PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
        PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine" });
        PrivateDependencyModuleNames.AddRange(new string[] { "Projects", "RenderCore", "RHI", "ShotStreamBridge" });
    }
}
