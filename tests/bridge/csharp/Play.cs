// Plays a scene of the package's components, as Unity would, with the stubs for an engine: the first argument says which.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using Shotstream;
using Shotstream.Unity;
using UnityEditor;
using UnityEngine;
using UnityEngine.Events;
using UnityEngine.UI;

internal static class Play
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

    private static readonly List<string> Said = new List<string>();

    private static ShotstreamClient _client;

    private static void Main(string[] arguments)
    {
        var address = new ShotstreamAddress { role = Role.Operator };
        var holder = new GameObject("Untagged");
        _client = holder.AddComponent<ShotstreamClient>();
        _client.Address = address;
        Hear(_client, "onConnected", "connected");
        Hear<string>(_client, "onDisconnected", "disconnected");
        Hear<int>(_client, "onShotStarted", "shot");
        Hear<string>(_client, "onTrouble", "trouble");
        switch (arguments[0])
        {
            case "film":
                Film(arguments[1]);
                break;
            case "leave":
                Leave();
                break;
            case "alone":
                Send("OnEnable");
                Tick();
                Say("problem {0} connection {1}", _client.Problem != "", _client.Connection == null);
                Say("sent {0}", _client.Run(connection => connection.Cut("a fox")) != null);
                Send("OnDisable");
                break;
            case "beats":
                Beats();
                break;
            case "variables":
                Variables();
                break;
            default:
                throw new ArgumentException(arguments[0]);
        }
    }

    // --- scenes ------------------------------------------------------------------------------------------------------

    private static void Film(string path)
    {
        var screen = new GameObject("Screen");
        var renderer = screen.AddComponent<Renderer>();
        var image = screen.AddComponent<RawImage>();
        var texture = screen.AddComponent<ShotstreamTexture>();
        Set(texture, "rawImage", image);
        Send("OnEnable");
        Until(() => _client.IsConnected);
        _client.Cut("a fox");
        var shown = 0;
        using (var file = File.Create(path))
        {
            _client.FrameShown += frame =>
            {
                if (shown++ >= 12) return;
                var whole = _client.Texture;
                Say("shown {0} {1} {2}x{3} {4}", frame.FrameInShot, frame.Block, whole.width, whole.height, frame.IsHeld);
                file.Write(whole.Shown, 0, whole.Shown.Length);
            };
            Until(() => shown >= 12);
        }
        Say("on renderer {0}", renderer.Block.Textures["_MainTex"] == _client.Texture);
        Say("on image {0}", image.texture == _client.Texture);
        var kept = _client.Texture;
        Send("OnDisable");
        Say("kept {0}", _client.Texture == kept);
        Send("OnDestroy");
        Say("freed {0}", _client.Texture == null && !UnityEngine.Object.Living.Contains(kept));
    }

    private static void Leave()
    {
        Send("OnEnable");
        Until(() => _client.IsConnected);
        AssemblyReloadEvents.Raise();
        Say("reload {0}", _client.Connection == null);
        Tick();
        Send("OnDisable");
        Send("OnEnable");
        Until(() => _client.IsConnected);
        EditorApplication.Raise(PlayModeStateChange.EnteredPlayMode);
        Say("play {0}", _client.Connection != null);
        EditorApplication.Raise(PlayModeStateChange.ExitingPlayMode);
        Say("stop {0}", _client.Connection == null);
        Send("OnDisable");
    }

    private static void Beats()
    {
        _client.Address.role = Role.Trigger;
        var player = new GameObject("Player");
        player.transform.position = new Vector3(0, 0, 100);
        var walk = Beat("walk", ShotstreamBeat.Activation.Manual);
        Set(walk, "parameters", new List<Parameter>
        {
            new Parameter { name = "place", text = "home" },
            new Parameter { name = "speed", kind = Parameter.Kind.Number, number = 3 }
        });
        var low = Beat("low", ShotstreamBeat.Activation.Proximity);
        Set(low, "target", player.transform);
        var also = Beat("also", ShotstreamBeat.Activation.Collision);
        Set(Beat("danger", ShotstreamBeat.Activation.Time), "delay", 0.5f);
        walk.Trigger();
        Send("OnEnable");
        Until(() => _client.IsConnected);
        walk.Trigger();
        Until(() => Heard("walk on air"));
        Until(() => Heard("danger failed")); // the story is not so far
        player.transform.position = new Vector3(1, 2, 0);
        Until(() => Heard("low on air"));
        Touch(also, "Untagged");
        Touch(also, "Player");
        Touch(also, "Player");
        Until(() => Heard("also on air"));
        Say("touched {0}", Said.FindAll(line => line == "also accepted").Count);
        Send("OnDisable");
    }

    private static void Variables()
    {
        _client.Address.role = Role.Trigger;
        var variables = new GameObject("Untagged").AddComponent<ShotstreamVariables>();
        Set(variables, "variables", new List<Parameter> { new Parameter { name = "weather", text = "rain" } });
        var input = new StringWriter();
        var reader = new Thread(() => input.Write(Console.In.ReadToEnd())) { IsBackground = true };
        reader.Start();
        Send("OnEnable");
        variables.Set("threat", 0.25);
        variables.Set("threat", 0.75);
        Until(() => !reader.IsAlive);
        Send("OnDisable");
    }

    private static ShotstreamBeat Beat(string name, ShotstreamBeat.Activation activation)
    {
        var beat = new GameObject("Untagged").AddComponent<ShotstreamBeat>();
        Set(beat, "beat", name);
        Set(beat, "activation", activation);
        Hear(beat, "onAccepted", name + " accepted");
        Hear(beat, "onAir", name + " on air");
        Hear<string>(beat, "onFailed", name + " failed");
        return beat;
    }

    private static void Touch(ShotstreamBeat beat, string tag)
    {
        var other = new GameObject(tag).AddComponent<Collider>();
        typeof(ShotstreamBeat).GetMethod("OnTriggerEnter", Fields).Invoke(beat, new object[] { other });
    }

    // --- the engine --------------------------------------------------------------------------------------------------

    private static void Tick()
    {
        UnityEngine.Time.time += 1 / 60f;
        Send("Update");
        Send("LateUpdate");
    }

    private static void Until(Func<bool> condition)
    {
        var end = DateTime.UtcNow.AddSeconds(60);
        while (!condition())
        {
            if (DateTime.UtcNow > end) throw new TimeoutException();
            Tick();
            Thread.Sleep(2);
        }
    }

    /// <summary>Calls a method of that name on every component that has one, in the order they were made.</summary>
    private static void Send(string message)
    {
        foreach (var component in UnityEngine.Object.Living.OfType<MonoBehaviour>().ToList())
        {
            var method = component.GetType().GetMethod(message, Fields);
            if (method != null) method.Invoke(component, null);
        }
    }

    private static void Set(object component, string field, object value)
    {
        component.GetType().GetField(field, Fields).SetValue(component, value);
    }

    private static void Hear(object component, string field, string name)
    {
        ((UnityEvent)component.GetType().GetField(field, Fields).GetValue(component)).AddListener(() => Say(name));
    }

    private static void Hear<T>(object component, string field, string name)
    {
        var happening = (UnityEvent<T>)component.GetType().GetField(field, Fields).GetValue(component);
        happening.AddListener(value => Say("{0} {1}", name, value));
    }

    private static bool Heard(string start)
    {
        return Said.Exists(line => line.StartsWith(start, StringComparison.Ordinal));
    }

    private static void Say(string format, params object[] values)
    {
        Said.Add(string.Format(System.Globalization.CultureInfo.InvariantCulture, format, values));
        Console.WriteLine(Said[Said.Count - 1]);
        Console.Out.Flush();
    }
}
