using UnityEngine;
using UnityEngine.UI;

namespace Shotstream.Unity
{
    /// <summary>
    /// Shows the film of a client: on a material of this object, in a RawImage, or copied into a RenderTexture. Whatever is
    /// named is served.
    /// </summary>
    [AddComponentMenu("Shotstream/Shotstream Texture")]
    public sealed class ShotstreamTexture : MonoBehaviour
    {
        [Tooltip("None: the first one in the scene.")]
        [SerializeField] private ShotstreamClient client = null;

        [Tooltip("None: the renderer of this object.")]
        [SerializeField] private Renderer targetRenderer = null;

        [Tooltip("_MainTex in the built-in pipeline, _BaseMap in URP, _BaseColorMap in HDRP, _EmissionMap for a screen that glows.")]
        [SerializeField] private string property = "_MainTex";

        [SerializeField] private RawImage rawImage = null;

        [SerializeField] private RenderTexture renderTexture = null;

        private MaterialPropertyBlock _block;

        private void OnEnable()
        {
            if (client == null) client = FindObjectOfType<ShotstreamClient>();
            if (targetRenderer == null) targetRenderer = GetComponent<Renderer>();
            if (client != null) client.FrameShown += Show;
        }

        private void OnDisable()
        {
            if (client != null) client.FrameShown -= Show;
        }

        private void Show(ShotstreamFrame frame)
        {
            var texture = client.Texture;
            if (targetRenderer != null)
            {
                if (_block == null) _block = new MaterialPropertyBlock();
                targetRenderer.GetPropertyBlock(_block);
                _block.SetTexture(property, texture);
                targetRenderer.SetPropertyBlock(_block);
            }
            if (rawImage != null) rawImage.texture = texture;
            if (renderTexture != null) Graphics.Blit(texture, renderTexture);
        }
    }
}
